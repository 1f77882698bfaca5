"""The leader's errands, with a gateway that does what a test wants."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from bmase.reasons import Reason

from services.kit.errors import DomainError
from services.patcher import effects as fx
from services.patcher.errands import Errands, checked, past_route
from services.patcher.state import Deployment, Phase, Replica, Seat, State, Transition

pytestmark = pytest.mark.anyio
ONE, TWO = Deployment("digits", 1, digest="d1"), Deployment("digits", 2, digest="d2", phase=Phase.LEAVING, force=True)


class Gateway:
    """Refuses to give a route, and lets go of every version."""

    def __init__(self) -> None:
        self.let_go_of: list[int] = []
        self.asked = asyncio.Event()

    async def exists(self, model: str) -> bool:
        return False

    async def give(self, deployment: Deployment) -> None:
        self.asked.set()
        raise DomainError(Reason.ROUTE_REJECTED, "Envoy refuses it")

    async def uses(self, model: str, version: int) -> bool:
        return False

    async def let_go(self, deployment: Deployment) -> None:
        self.let_go_of.append(deployment.version)


async def test_a_failing_errand_does_not_hold_up_another_version() -> None:
    gateway, kept = Gateway(), []

    async def keep(deployment: Deployment, settled: Callable[[Deployment], Transition]) -> None:
        kept.append(str(settled(deployment)))

    nobody: Any = None
    errands = Errands(nobody, gateway, keep)  # type: ignore[arg-type]
    errands.start(fx.GiveRoute(ONE))
    async with asyncio.timeout(5):
        await gateway.asked.wait()
        while not kept:
            await asyncio.sleep(0)
        await asyncio.sleep(0)
        errands.start(fx.GiveRoute(ONE))  # waits after its failure
        errands.start(fx.TakeFromRoute(TWO))
        while len(kept) < 2:
            await asyncio.sleep(0)
    assert gateway.let_go_of == [2]
    assert kept == ["waits: digits/1", "out of the route digits/2"]
    await errands.stop()


async def test_an_absent_route_says_nothing_before_consul_is_settled() -> None:
    kept: list[str] = []

    async def keep(deployment: Deployment, settled: Callable[[Deployment], Transition]) -> None:
        kept.append(str(settled(deployment)))

    nobody: Any = None
    errands = Errands(nobody, Gateway(), keep)  # type: ignore[arg-type]
    leaving = Deployment("digits", 1, phase=Phase.LEAVING)
    for consul_is_settled in (False, True):
        assert kept == []
        errands.start(fx.CheckRoute(leaving, consul_is_settled))
        await asyncio.gather(*errands._running.values())
    assert kept == ["out of the route digits/1"]


def settled(seat: Seat, phase: Phase, used: bool) -> tuple[Deployment, Seat]:
    deployment, replica = Deployment("digits", 1, phase=phase), Replica("digits", 1, "blue", seat)
    state = State(deployments={deployment.key: deployment}, replicas={replica.id: replica})
    after = checked(deployment, used).apply(state)
    return after.deployments[deployment.key], after.replicas[replica.id].seat


@pytest.mark.parametrize(
    ("seat", "phase", "after"),
    [
        (Seat.SERVING, Phase.LEAVING, Seat.SERVING),
        (Seat.WITHDRAWN, Phase.DRAINING, Seat.ASSIGNED),
        (Seat.DRAINING, Phase.DRAINING, Seat.ASSIGNED),
        (Seat.UNLOADING, Phase.DRAINING, Seat.UNLOADING),  # its node is told already: it is placed anew
    ],
)
def test_what_a_route_needs_stays(seat: Seat, phase: Phase, after: Seat) -> None:
    deployment, now = settled(seat, phase, used=True)
    assert (deployment.phase, deployment.reason, now) == (Phase.ACTIVE, Reason.VERSION_IN_ROUTE, after)
    assert "sends requests to it" in deployment.message


def test_what_no_route_needs_goes_on_and_late_answers_change_nothing() -> None:
    assert settled(Seat.SERVING, Phase.LEAVING, used=False)[0].phase is Phase.DRAINING
    for phase in (Phase.ACTIVE, Phase.DRAINING, Phase.RELEASING):
        deployment = Deployment("digits", 1, phase=phase, message="words")
        assert past_route(deployment).apply(State()).deployments == {deployment.key: deployment}
    assert settled(Seat.UNLOADING, Phase.RELEASING, used=True)[0].phase is Phase.RELEASING
