"""The schedules' tables, beside the jobs'. Times are seconds since 1970 in UTC."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Boolean, Column, Double, ForeignKey, Index, Integer, String, Table, Text

from services.kit.database import TABLE_OPTIONS
from services.trainer.jobs.tables import DOCUMENT, ID, NAME, WORD, metadata

KEY = 128


def _table(name: str, *parts: Column[Any] | Index) -> Table:
    options: dict[str, Any] = dict(TABLE_OPTIONS)
    return Table(name, metadata, *parts, **options)


# `document` is the schedule as JSON; `touched` counts its changes, and is what a change locks it by.
schedules = _table(
    "schedules",
    Column("id", String(ID), primary_key=True),
    Column("model", String(NAME), nullable=False),
    Column("paused", Boolean, nullable=False),
    Column("touched", Integer, nullable=False),
    Column("document", Text(DOCUMENT), nullable=False),
    Index("schedules_by_model", "model", "id"),
)

# One line for each occasion: what is queued now is started later under the same key.
schedule_fires = _table(
    "schedule_fires",
    Column("schedule", String(ID), ForeignKey("schedules.id", ondelete="CASCADE"), primary_key=True),
    Column("key", String(KEY), primary_key=True),
    Column("due", Double, nullable=False),
    Column("time", Double, nullable=False),
    Column("outcome", String(WORD), nullable=False),
    Column("pipeline", String(ID), nullable=False),
    Column("sentence", Text, nullable=False),
    Index("schedule_fires_by_time", "schedule", "time"),
)
