"""What one schedule cannot do holds up no other."""

from __future__ import annotations

import time
from typing import Any

import pytest
from bmase.reasons import Reason
from prometheus_client import CollectorRegistry

from services.kit.errors import DomainError
from services.kit.hub import Hub
from services.trainer.pipelines.metrics import PipelineMetrics
from services.trainer.schedules import transitions as tr
from services.trainer.schedules.decide import Decision
from services.trainer.schedules.loop import ScheduleRounds
from services.trainer.schedules.state import Schedule
from tests.unit.trainer.schedules.schedules import schedule


class Records:
    """Looks once, and is led by somebody else afterwards; keeping a decision about "a" fails as it is told to."""

    def __init__(self, schedules: list[Schedule], failure: Exception) -> None:
        self._schedules, self._failure = schedules, failure
        self.kept: list[str] = []

    async def look(self) -> tuple[list[Schedule], dict[str, tuple[str, ...]]]:
        if not self._schedules:
            raise DomainError(Reason.NOT_LEADER, "another instance leads")
        found, self._schedules = self._schedules, []
        return found, {}

    async def decided(self, decision: Decision, fence: int) -> bool:
        if decision.before.id == "a":
            raise self._failure
        self.kept.append(decision.before.id)
        return True


class Alerts:
    async def look(self, _: object) -> tuple[()]:
        return ()


async def _led(failure: Exception) -> list[str]:
    now = time.time()
    asked = [tr.ask(schedule(id=id), "r1", "bob", now) for id in ("a", "b")]
    records: Any = Records(asked, failure)
    alerts: Any = Alerts()
    metrics = PipelineMetrics(CollectorRegistry())
    await ScheduleRounds(records, alerts=alerts, poll=1.0, metrics=metrics, news=Hub()).lead(1, 0.01)
    kept: list[str] = records.kept
    return kept


@pytest.mark.parametrize("failure", [DomainError(Reason.INTERNAL, "it cannot be read"), ValueError("a defect")])
async def test_the_others_are_decided_all_the_same(failure: Exception) -> None:
    assert await _led(failure) == ["b"]


@pytest.mark.parametrize("reason", [Reason.NOT_LEADER, Reason.STORE_UNAVAILABLE])
async def test_what_is_true_of_all_ends_the_round(reason: Reason) -> None:
    assert await _led(DomainError(reason, "nobody can")) == []
