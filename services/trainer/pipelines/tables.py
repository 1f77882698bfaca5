"""The pipelines' tables, beside the jobs'. Times are seconds since 1970 in UTC."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Boolean, Column, Double, ForeignKey, Index, Integer, String, Table, Text

from services.kit.database import TABLE_OPTIONS
from services.trainer.jobs.tables import BIG, DOCUMENT, ID, NAME, OWNER, WORD, metadata

LEADER = "pipelines"  # of the fence: schedules and pipelines have one leader, jobs may have another
LONG_WORD = 64  # of reasons: also those of other services


def _table(name: str, *parts: Column[Any] | Index) -> Table:
    options: dict[str, Any] = dict(TABLE_OPTIONS)
    return Table(name, metadata, *parts, **options)


# `document` is the pipeline as JSON; the other columns are what is searched for. `schedule` is empty, or of one that
# may be gone by now.
pipelines = _table(
    "pipelines",
    Column("id", String(ID), primary_key=True),
    Column("model", String(NAME), nullable=False),
    Column("schedule", String(ID), nullable=False),
    Column("phase", String(WORD), nullable=False),
    Column("unfinished", Boolean, nullable=False),
    Column("created", Double, nullable=False),
    Column("last_line", Integer, nullable=False),
    Column("document", Text(DOCUMENT), nullable=False),
    Index("pipelines_unfinished", "unfinished", "schedule"),
    Index("pipelines_by_schedule", "schedule", "created", "id"),
    Index("pipelines_by_created", "created", "id"),
)

pipeline_lines = _table(
    "pipeline_lines",
    Column("pipeline", String(ID), ForeignKey("pipelines.id", ondelete="CASCADE"), primary_key=True),
    Column("number", BIG, primary_key=True, autoincrement=False),
    Column("time", Double, nullable=False),
    Column("kind", String(WORD), nullable=False),
    Column("phase", String(WORD), nullable=False),
    Column("reason", String(LONG_WORD), nullable=False),
    Column("actor", String(OWNER), nullable=False),
    Column("message", Text, nullable=False),
)
