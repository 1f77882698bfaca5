"""A route that is held for nobody is given back; one that somebody cares for, or may, is left alone."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from bmase.reasons import Reason

from services.kit.errors import DomainError
from services.patcher.releases.effects import GiveBack
from services.patcher.releases.orphans import Orphans
from services.patcher.releases.state import Chore, Phase, Release

pytestmark = pytest.mark.anyio


@dataclass
class World:
    """Routes, records, eyes and tools in one."""

    holders: dict[str, str]
    releases: dict[str, Release] = field(default_factory=dict)
    settles: bool = True
    fence: int = 7
    refuses: str = ""
    given: list[tuple[GiveBack, tuple[int, ...]]] = field(default_factory=list)

    def held(self) -> dict[str, str]:
        return self.holders

    def settled(self) -> bool:
        return self.settles

    async def get(self, release: str) -> Release:
        if release not in self.releases:
            raise DomainError(Reason.RELEASE_NOT_FOUND, release)
        return self.releases[release]

    async def give_back(self, effect: GiveBack, versions: tuple[int, ...]) -> None:
        if effect.model == self.refuses:
            raise DomainError(Reason.NOT_LEADER, "a later fence lies there")
        self.given.append((effect, versions))

    async def free(self, flown: str = "") -> list[str]:
        me = cast(Any, self)
        await Orphans(me, me, eyes=me, routes=me, flown=lambda release: release == flown).free()
        return [effect.model for effect, _ in self.given]


def release(phase: Phase, *chores: Chore) -> Release:
    return Release("r1", "digits", 2, 1, phase=phase, chores=frozenset(chores))


async def test_a_holder_that_nobody_knows_gives_back_under_the_leaders_fence() -> None:
    world = World({"digits": "r1"})
    await world.free()
    assert world.given == [(GiveBack("digits", "r1", 7), ())]


async def test_a_holder_that_has_ended_leaves_without_what_got_nothing() -> None:
    world = World({"digits": "r1"}, {"r1": release(Phase.ROLLED_BACK, Chore.END_COMPARISON)})
    await world.free()
    assert world.given == [(GiveBack("digits", "r1", 7), (1, 2))]


@pytest.mark.parametrize(
    "holder", [release(Phase.STEPPING), release(Phase.ROLLING_BACK), release(Phase.FAILED, Chore.GIVE_BACK_ROUTE)]
)
async def test_a_holder_that_gives_back_itself_is_left_alone(holder: Release) -> None:
    assert await World({"digits": "r1"}, {"r1": holder}).free() == []


async def test_one_with_a_pilot_is_not_even_looked_up() -> None:
    assert await World({"digits": "r1"}).free(flown="r1") == []


async def test_unsettled_nothing_is_given_back() -> None:
    assert await World({"digits": "r1"}, settles=False).free() == []


async def test_a_route_that_is_refused_does_not_hold_up_the_others() -> None:
    assert await World({"a": "r1", "b": "r2"}, refuses="a").free() == ["b"]
