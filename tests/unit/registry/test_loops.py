"""What goes on beside the calls goes on whatever happens to it."""

from __future__ import annotations

from typing import Any, cast

import anyio
import pytest
from bmase.reasons import Reason
from sqlalchemy.exc import ProgrammingError

from services.kit.errors import DomainError
from services.registry import journal
from services.registry.garbage import Ages, Collected, Garbage
from services.registry.journal import Journal

pytestmark = pytest.mark.anyio

TROUBLE = [
    DomainError(Reason.STORE_UNAVAILABLE, "away"),
    PermissionError(13, "not yours"),
    ProgrammingError("SELECT", {}, Exception("no such table")),
]
NOTHING = cast(Any, None)


class Enough(Exception):
    """Ends a loop that would not end."""


class Failing:
    """Raises one trouble after the other, and then ends the loop."""

    def __init__(self) -> None:
        self.calls = 0

    async def __call__(self, *_: object, **__: object) -> Collected:
        self.calls += 1
        if self.calls > len(TROUBLE):
            raise Enough
        raise TROUBLE[self.calls - 1]


async def test_garbage_is_collected_again_after_any_trouble(monkeypatch: pytest.MonkeyPatch) -> None:
    garbage, failing = Garbage(NOTHING, NOTHING, NOTHING, NOTHING), Failing()
    monkeypatch.setattr(garbage, "collect", failing)
    with anyio.fail_after(5), pytest.raises(Enough):
        await garbage.run(Ages(), 0.0)
    assert failing.calls == len(TROUBLE) + 1


async def test_the_journal_is_followed_over_any_trouble(monkeypatch: pytest.MonkeyPatch) -> None:
    followed, failing = Journal(NOTHING), Failing()
    monkeypatch.setattr(journal, "POLL_SECONDS", 0.0)
    monkeypatch.setattr(followed, "bounds", failing)
    with anyio.fail_after(5), pytest.raises(Enough):
        await followed.follow()
    assert failing.calls == len(TROUBLE) + 1
