"""The jobs' tables. `created` is whole microseconds since 1970 in UTC, as page tokens carry it exactly; other times are
seconds.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, Boolean, Column, Double, ForeignKey, Index, Integer, MetaData, String, Table, Text

from services.kit.database import TABLE_OPTIONS

metadata = MetaData()

ID, NAME, OWNER, KEY, VALUE, WORD = 63, 63, 64, 63, 256, 32
DOCUMENT = 2**24 - 1
# As the other services spell a whole number in a key of several columns.
BIG = BigInteger().with_variant(Integer, "sqlite")


def _table(name: str, *parts: Column[Any] | Index) -> Table:
    options: dict[str, Any] = dict(TABLE_OPTIONS)
    return Table(name, metadata, *parts, **options)


def _of_job() -> Column[str]:
    return Column("job", String(ID), ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)


# `document` is the job as JSON; the other columns are what is searched for. `revision` is of its last change.
jobs = _table(
    "jobs",
    Column("id", String(ID), primary_key=True),
    Column("model", String(NAME), nullable=False),
    Column("owner", String(OWNER), nullable=False),
    Column("recipe", String(NAME), nullable=False),
    Column("priority", Integer, nullable=False),
    Column("phase", String(WORD), nullable=False),
    Column("cause", String(WORD), nullable=False),
    Column("unfinished", Boolean, nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("last_offset", BigInteger, nullable=False),
    Column("document", Text(DOCUMENT), nullable=False),
    Index("jobs_unfinished", "unfinished"),
    Index("jobs_by_created", "created", "id"),
    Index("jobs_by_priority", "priority", "created", "id"),
    Index("jobs_by_revision", "revision"),
)

job_labels = _table(
    "job_labels",
    _of_job(),
    Column("name", String(KEY), primary_key=True),
    Column("value", String(VALUE), nullable=False),
    Index("job_labels_by_value", "name", "value", "job"),
)

job_events = _table(
    "job_events",
    _of_job(),
    Column("number", BIG, primary_key=True, autoincrement=False),
    Column("time", Double, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("kind", String(WORD), nullable=False),
    Column("body", Text, nullable=False),
)

# Beside the events: one value for each step, the latest, however often the step was trained.
job_metrics = _table(
    "job_metrics",
    _of_job(),
    Column("metric", String(KEY), primary_key=True),
    Column("step", BIG, primary_key=True, autoincrement=False),
    Column("value", Double, nullable=False),
    Column("time", Double, nullable=False),
)

# One request_id makes one job.
job_requests = _table(
    "job_requests",
    Column("id", String(64), primary_key=True),
    Column("fingerprint", String(64), nullable=False),
    Column("job", String(ID), nullable=False),
    Column("created", Double, nullable=False),
    Index("job_requests_by_created", "created"),
)

# One row. Whoever changes jobs locks it first: revisions are handed out in the order in which changes become visible.
job_revisions = _table(
    "job_revisions",
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("last", BigInteger, nullable=False),
)

# The highest fence a leader has written under; an earlier leader's transaction is refused.
fences = _table("fences", Column("name", String(NAME), primary_key=True), Column("fence", BigInteger, nullable=False))
