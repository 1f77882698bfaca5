"""Schedules for tests."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from services.trainer.schedules import transitions as tr
from services.trainer.schedules.spec import ScheduleSpec
from services.trainer.schedules.state import Schedule

JOB = {"model": "models/digits", "recipe": "tabular", "data": [{"uris": ["s3://lake/digits"]}]}


def spec(overlap: str = "queue", **trigger: Any) -> ScheduleSpec:
    """As little as a schedule must say, with this trigger."""
    wanted = trigger or {"kind": "manual"}
    return ScheduleSpec.model_validate({"plan": {"job": JOB}, "trigger": wanted, "overlap": overlap})


def schedule(overlap: str = "queue", created: float = 0.0, id: str = "nightly", **trigger: Any) -> Schedule:
    return tr.create(id, spec(overlap, **trigger), "ann", created)


def at(text: str) -> float:
    """The instant, from ISO 8601 with its distance from UTC."""
    moment = datetime.fromisoformat(text)
    assert moment.tzinfo is not None
    return moment.timestamp()
