"""Jobs, what they did and said, and the requests that made them.

On MySQL every statement of DDL commits by itself: each table is made only if it is not there, so that a start that was
killed half way is simply started again.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

OPTIONS: dict[str, Any] = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin"}
DOCUMENT = 2**24 - 1


def upgrade() -> None:
    """Creates what is missing."""
    _create(
        "jobs",
        _key("id", 63),
        _text("model", 63),
        _text("owner", 64),
        _text("recipe", 63),
        sa.Column("priority", sa.Integer, nullable=False),
        _text("phase", 32),
        _text("cause", 32),
        sa.Column("unfinished", sa.Boolean, nullable=False),
        _whole("created"),
        _whole("revision"),
        _whole("last_offset"),
        sa.Column("document", sa.Text(DOCUMENT), nullable=False),
        sa.Index("jobs_unfinished", "unfinished"),
        sa.Index("jobs_by_created", "created", "id"),
        sa.Index("jobs_by_priority", "priority", "created", "id"),
        sa.Index("jobs_by_revision", "revision"),
    )
    by_value = sa.Index("job_labels_by_value", "name", "value", "job")
    _create("job_labels", _of_job(), _key("name", 63), _text("value", 256), by_value)
    _create(
        "job_events",
        _of_job(),
        _number("number"),
        _time("time"),
        sa.Column("attempt", sa.Integer, nullable=False),
        _text("kind", 32),
        sa.Column("body", sa.Text, nullable=False),
    )
    _create("job_metrics", _of_job(), _key("metric", 63), _number("step"), _time("value"), _time("time"))
    by_age = sa.Index("job_requests_by_created", "created")
    _create("job_requests", _key("id", 64), _text("fingerprint", 64), _text("job", 63), _time("created"), by_age)
    _create("fences", _key("name", 63), _whole("fence"))
    _create("job_revisions", sa.Column("id", sa.Integer, primary_key=True, autoincrement=False), _whole("last"))
    if op.get_bind().scalar(sa.text("SELECT COUNT(*) FROM job_revisions")) == 0:
        op.execute("INSERT INTO job_revisions (id, last) VALUES (1, 0)")


def _create(name: str, *parts: sa.Column[Any] | sa.Index) -> None:
    if not sa.inspect(op.get_bind()).has_table(name):
        op.create_table(name, *parts, **OPTIONS)


def _key(name: str, length: int) -> sa.Column[str]:
    return sa.Column(name, sa.String(length), primary_key=True)


def _of_job() -> sa.Column[str]:
    return sa.Column("job", sa.String(63), sa.ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)


def _number(name: str) -> sa.Column[int]:
    kind = sa.BigInteger().with_variant(sa.Integer, "sqlite")
    return sa.Column(name, kind, primary_key=True, autoincrement=False)


def _whole(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, nullable=False)


def _text(name: str, length: int) -> sa.Column[str]:
    return sa.Column(name, sa.String(length), nullable=False)


def _time(name: str) -> sa.Column[float]:
    return sa.Column(name, sa.Double, nullable=False)
