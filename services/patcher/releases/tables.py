"""The releases' tables, beside the deployments'. Times are seconds since 1970 in UTC."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, Boolean, Column, Double, Index, Integer, LargeBinary, String, Table, Text

from services.kit.database import TABLE_OPTIONS
from services.patcher.tables import NAME, metadata

ID, WORD, LONG_WORD = 63, 32, 128
DOCUMENT = 2**24 - 1
EVIDENCE = 2**24 - 1


def _table(name: str, *columns: Column[Any] | Index) -> Table:
    options: dict[str, Any] = dict(TABLE_OPTIONS)
    return Table(name, metadata, *columns, **options)


# `document` is the release as JSON; the other columns are what is searched for. `active_model` is the model while the
# release runs and NULL afterwards: its uniqueness is what makes one release a model.
releases = _table(
    "releases",
    Column("id", String(ID), primary_key=True),
    Column("model", String(NAME), nullable=False),
    Column("active_model", String(NAME), nullable=True, unique=True),
    Column("unfinished", Boolean, nullable=False),
    Column("created", Double, nullable=False),
    Column("document", Text(DOCUMENT), nullable=False),
    Column("evidence", LargeBinary(EVIDENCE), nullable=False),
    Index("releases_unfinished", "unfinished"),
    Index("releases_created", "created", "id"),
)

release_events = _table(
    "release_events",
    Column("release_id", String(ID), primary_key=True),
    Column("number", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=False),
    Column("time", Double, nullable=False),
    Column("kind", String(WORD), nullable=False),
    Column("reason", String(LONG_WORD), nullable=False),
    Column("actor", String(LONG_WORD), nullable=False),
    Column("percent", Double, nullable=False),
    Column("message", Text, nullable=False),
    Column("evidence", LargeBinary(EVIDENCE), nullable=False),
)

# One request_id makes one release.
release_requests = _table(
    "release_requests",
    Column("id", String(64), primary_key=True),
    Column("fingerprint", String(64), nullable=False),
    Column("release_id", String(ID), nullable=False),
    Column("created", Double, nullable=False),
)
