"""Schedules with what they have fired, and pipelines with their history.

As in 0001, each table is made only if it is not there.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

OPTIONS: dict[str, Any] = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin"}
DOCUMENT = 2**24 - 1


def upgrade() -> None:
    """Creates what is missing."""
    _create(
        "schedules",
        _key("id", 63),
        _text("model", 63),
        sa.Column("paused", sa.Boolean, nullable=False),
        sa.Column("touched", sa.Integer, nullable=False),
        sa.Column("document", sa.Text(DOCUMENT), nullable=False),
        sa.Index("schedules_by_model", "model", "id"),
    )
    _create(
        "schedule_fires",
        _of("schedule"),
        _key("key", 128),
        _time("due"),
        _time("time"),
        _text("outcome", 32),
        _text("pipeline", 63),
        sa.Column("sentence", sa.Text, nullable=False),
        sa.Index("schedule_fires_by_time", "schedule", "time"),
    )
    _create(
        "pipelines",
        _key("id", 63),
        _text("model", 63),
        _text("schedule", 63),
        _text("phase", 32),
        sa.Column("unfinished", sa.Boolean, nullable=False),
        _time("created"),
        sa.Column("last_line", sa.Integer, nullable=False),
        sa.Column("document", sa.Text(DOCUMENT), nullable=False),
        sa.Index("pipelines_unfinished", "unfinished", "schedule"),
        sa.Index("pipelines_by_schedule", "schedule", "created", "id"),
        sa.Index("pipelines_by_created", "created", "id"),
    )
    _create(
        "pipeline_lines",
        _of("pipeline"),
        sa.Column("number", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=False),
        _time("time"),
        _text("kind", 32),
        _text("phase", 32),
        _text("reason", 64),
        _text("actor", 64),
        sa.Column("message", sa.Text, nullable=False),
    )


def _create(name: str, *parts: sa.Column[Any] | sa.Index) -> None:
    if not sa.inspect(op.get_bind()).has_table(name):
        op.create_table(name, *parts, **OPTIONS)


def _key(name: str, length: int) -> sa.Column[str]:
    return sa.Column(name, sa.String(length), primary_key=True)


def _of(parent: str) -> sa.Column[str]:
    return sa.Column(parent, sa.String(63), sa.ForeignKey(f"{parent}s.id", ondelete="CASCADE"), primary_key=True)


def _text(name: str, length: int) -> sa.Column[str]:
    return sa.Column(name, sa.String(length), nullable=False)


def _time(name: str) -> sa.Column[float]:
    return sa.Column(name, sa.Double, nullable=False)
