"""How effects are carried out: one of a kind at a time, the newest wish wins, failures are tried again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest
from bmase.reasons import Reason

from services.kit.errors import DomainError
from services.patcher.releases import hands as hands_module
from services.patcher.releases.effects import Deploy, EndComparison, SetWeights
from services.patcher.releases.hands import Hands
from services.patcher.releases.records import Decide
from services.patcher.releases.state import Chore, Phase, Release
from services.patcher.releases.tools import Tools

pytestmark = pytest.mark.anyio
RELEASE = Release("r1", "digits", 2, 1, phase=Phase.STEPPING, chores=frozenset({Chore.END_COMPARISON}))


def weights(share: int, fence: int = 1) -> SetWeights:
    return SetWeights("digits", "r1", ((1, 1_000_000 - share), (2, share)), fence)


class Recorder:
    """Tools that note what they are used for; `fails` and `waits` decide how a call goes."""

    def __init__(self) -> None:
        self.calls: list[Any] = []
        self.landed: list[Any] = []
        self.fails: DomainError | None = None
        self.waits: asyncio.Event | None = None

    async def _call(self, effect: Any, *_: Any) -> None:
        self.calls.append(effect)
        if self.waits is not None:
            await self.waits.wait()
        if self.fails is not None:
            raise self.fails
        self.landed.append(effect)

    set_weights = deploy = end_comparison = _call


class Bench:
    """Hands with everything they report to."""

    def __init__(self) -> None:
        self.tools = Recorder()
        self.woken = asyncio.Event()
        self.release = RELEASE
        self.written: list[SetWeights] = []
        self.hands = Hands(cast(Tools, self.tools), self._keep, self.woken.set, self.written.append)

    async def _keep(self, decide: Decide) -> None:
        self.release = list(decide(self.release))[-1].release

    async def until(self, holds: Callable[[], object]) -> None:
        async with asyncio.timeout(5):
            while not holds():
                await asyncio.sleep(0.005)


async def test_the_same_wish_is_one_call() -> None:
    bench = Bench()
    bench.tools.waits = asyncio.Event()
    for _ in range(3):
        bench.hands.start([weights(5)], RELEASE)
        await asyncio.sleep(0)
    bench.tools.waits.set()
    await bench.until(lambda: bench.written)
    bench.hands.start([weights(5)], RELEASE)  # the watch has not shown it yet
    await asyncio.sleep(0.05)
    assert bench.tools.calls == [weights(5)]
    assert bench.woken.is_set()


async def test_a_newer_wish_for_the_route_does_not_wait_for_the_older_one() -> None:
    bench = Bench()
    bench.tools.waits = asyncio.Event()
    bench.hands.start([weights(500_000)], RELEASE)
    await bench.until(lambda: bench.tools.calls)
    bench.tools.waits = None
    bench.hands.start([weights(0)], RELEASE)
    await bench.until(lambda: bench.written)
    assert bench.tools.landed == [weights(0)]


async def test_what_landed_late_is_put_right_at_once() -> None:
    bench = Bench()
    bench.hands.start([weights(0)], RELEASE)
    await bench.until(lambda: bench.written)
    bench.hands.look_again("route")  # the watch has shown something else
    bench.hands.start([weights(0)], RELEASE)
    await bench.until(lambda: len(bench.written) == 2)


async def test_a_failure_is_told_and_tried_again_and_forgotten() -> None:
    bench = Bench()
    bench.tools.fails = DomainError(Reason.ROUTE_REJECTED, "no")
    bench.hands.start([weights(5)], RELEASE)
    await bench.until(lambda: bench.hands.troubles)
    assert bench.hands.troubles["route"].reason == "ROUTE_REJECTED"
    bench.hands.start([weights(5)], RELEASE)
    await asyncio.sleep(0.02)
    assert len(bench.tools.calls) == 1  # not at once
    bench.tools.fails = None
    bench.woken.clear()
    await asyncio.wait_for(bench.woken.wait(), 2)  # it wakes the pilot by itself
    bench.hands.start([weights(5)], RELEASE)
    await bench.until(lambda: bench.written)
    assert bench.hands.troubles == {}


async def test_what_is_not_wished_for_is_no_trouble() -> None:
    bench = Bench()
    bench.tools.fails = DomainError(Reason.VERSION_NOT_FOUND, "no")
    bench.hands.start([Deploy("digits", 2, 1)], RELEASE)
    await bench.until(lambda: bench.hands.troubles)
    bench.hands.start([], RELEASE)
    assert bench.hands.troubles == {}


async def test_a_later_leader_is_noticed() -> None:
    bench = Bench()
    bench.tools.fails = DomainError(Reason.NOT_LEADER, "another one")
    bench.hands.start([Deploy("digits", 2, 1)], RELEASE)
    await bench.until(lambda: bench.hands.deposed)


async def test_a_fence_that_somebody_left_at_one_route_deposes_nobody() -> None:
    bench = Bench()
    bench.tools.fails = DomainError(Reason.NOT_LEADER, "a later leader has changed the route of 'digits'")
    bench.hands.start([weights(5)], RELEASE)
    await bench.until(lambda: bench.hands.troubles)
    assert bench.hands.troubles["route"].reason == "NOT_LEADER"
    assert not bench.hands.deposed


async def test_what_is_settled_is_kept_on_the_release_as_it_is_then() -> None:
    bench = Bench()
    bench.hands.start([EndComparison("comparisons/r1")], RELEASE)
    await bench.until(lambda: not bench.release.chores)


async def test_a_defect_is_a_failure_too(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench()

    async def broken(*_: Any) -> None:
        raise KeyError("x")

    monkeypatch.setattr(bench.tools, "set_weights", broken)
    monkeypatch.setattr(hands_module, "FIRST_RETRY", 0.01)
    bench.hands.start([weights(5)], RELEASE)
    await bench.until(lambda: bench.hands.troubles)
    assert bench.hands.troubles["route"].reason == "INTERNAL"
    await bench.hands.stop()
