"""What a pilot does when the database does not answer."""

from __future__ import annotations

import asyncio
import time
from typing import Any, cast

import pytest

from services.patcher.releases import pilot as pilot_module
from services.patcher.releases.effects import SetWeights
from services.patcher.releases.observation import Deployed, Evidence, RouteSeen, Stand, Verdict
from services.patcher.releases.pilot import Desk, Pilot
from services.patcher.releases.policy import Policy
from services.patcher.releases.state import Phase, Release

pytestmark = pytest.mark.anyio
READY = Deployed(Stand.READY, answers=True)
POLICY = Policy.model_validate({"steps": [{"percent": 5}, {"percent": 100}]})
STEPPING = Release("r1", "digits", 2, 1, POLICY, phase=Phase.STEPPING, step=0, step_since=1.0, base=0)


class Hanging:
    """A database that takes calls and never answers, and everything else that a pilot needs."""

    fence = 7

    def __init__(self) -> None:
        self.sent: list[SetWeights] = []
        self.asked = 0

    async def change(self, *_: Any) -> Any:
        self.asked += 1
        await asyncio.Event().wait()

    def look(self, release: Release) -> Any:
        return True, READY, READY, RouteSeen(release.weights, "r1", self.fence)

    def unheard(self) -> tuple[str, ...]:
        return ()

    def forget(self) -> None:
        return None

    async def stable_answers(self, release: Release) -> bool:
        return True

    async def set_weights(self, effect: SetWeights, release: Release) -> None:
        self.sent.append(effect)

    async def evidence(self, release: Release) -> Any:
        await asyncio.Event().wait()
        yield


async def flown(*verdicts: Verdict) -> Hanging:
    """What a pilot has done that heard one after the other."""
    peers = Hanging()
    me = cast(Any, peers)
    pilot = Pilot(STEPPING, Desk(records=me, tools=me, eyes=me, monitor=me, news=me, metrics=me))
    flying = asyncio.create_task(pilot.run())
    for verdict in verdicts:
        pilot.evidence = Evidence(time.time(), verdict, requests=10_000)
        await asyncio.sleep(0.3)
    flying.cancel()
    await asyncio.gather(flying, return_exceptions=True)
    assert peers.asked == 1
    return peers


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pilot_module, "STORE_SECONDS", 0.05)


@pytest.mark.parametrize("verdicts", [(Verdict.ROLLBACK,), (Verdict.PROMOTE, Verdict.ROLLBACK)])
async def test_a_retreat_does_not_wait_for_a_store_that_hangs(verdicts: tuple[Verdict, ...]) -> None:
    peers = await flown(*verdicts)
    assert {effect.weights for effect in peers.sent} == {((1, 1_000_000), (2, 0))}


async def test_an_advance_does() -> None:
    assert (await flown(Verdict.PROMOTE)).sent == []
