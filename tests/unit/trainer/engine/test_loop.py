"""The leader's loop over a store that is silent when it begins."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from bmase.reasons import Reason

from services.kit.errors import DomainError
from services.kit.hub import Hub
from services.trainer import loop as loops
from services.trainer.jobs.quotas import Quotas
from services.trainer.jobs.state import Job
from services.trainer.loop import Loop

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(60)]


class Records:
    """Silent at first; then read once under the fence, and after that somebody else leads."""

    def __init__(self) -> None:
        self.answers: list[Reason | None] = [Reason.STORE_UNAVAILABLE, Reason.STORE_UNAVAILABLE, None]
        self.said: list[str] = []

    async def lead(self, fence: int) -> None:
        if (reason := self.answers.pop(0)) is not None:
            raise DomainError(reason, "the store does not answer")
        self.said.append(f"claimed {fence}")

    async def unfinished(self) -> list[Job]:
        self.said.append("read")
        if self.said.count("read") > 1:
            raise DomainError(Reason.NOT_LEADER, "another one leads")
        return []


class Engine:
    said: list[str]

    def __init__(self, said: list[str]) -> None:
        self.said = said

    async def open(self) -> None:
        self.said.append("opened")

    async def close(self) -> None:
        self.said.append("closed")

    def nodes(self) -> Mapping[str, Any]:
        return {}

    def alive(self) -> frozenset[tuple[str, int]]:
        return frozenset()

    silence = ""


async def test_a_store_that_is_silent_when_the_lead_comes_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loops, "NAP", 0.0)
    records = Records()
    parts: dict[str, Any] = {"engine": lambda: Engine(records.said), "quotas": Quotas()}
    await Loop(None, records, Hub(), **parts)._lead(5)  # type: ignore[arg-type]
    assert records.said == ["opened", "claimed 5", "read", "read", "closed"]
