"""The patcher's tables. Times are seconds since 1970 in UTC."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, Boolean, Column, Double, Integer, MetaData, String, Table, Text

from services.kit.database import TABLE_OPTIONS

metadata = MetaData()

NAME, DIGEST, WORD = 63, 71, 32
# Up to 1,000 files a version, and the words of a backend's error.
DOCUMENT = 2**24 - 1


def _table(name: str, *columns: Column[Any]) -> Table:
    options: dict[str, Any] = dict(TABLE_OPTIONS)
    return Table(name, metadata, *columns, **options)


def _name(name: str) -> Column[str]:
    return Column(name, String(NAME), primary_key=True)


def _version() -> Column[int]:
    return Column("version", Integer, primary_key=True, autoincrement=False)


deployments = _table(
    "deployments",
    _name("model"),
    _version(),
    Column("digest", String(DIGEST), nullable=False),
    Column("replicas", Integer, nullable=False),
    Column("pool", String(NAME), nullable=False),
    Column("backend", String(NAME), nullable=False),
    Column("memory_bytes", BigInteger, nullable=False),
    Column("phase", String(WORD), nullable=False),
    Column("force", Boolean, nullable=False),
    Column("generation", Integer, nullable=False),
    Column("held", Boolean, nullable=False),
    Column("route", String(WORD), nullable=False),
    Column("reason", String(NAME), nullable=False),
    Column("message", Text, nullable=False),
    Column("created", Double, nullable=False),
    Column("updated", Double, nullable=False),
)

# Beside the deployments, as they are long and only read when a node is told what to run.
deployment_files = _table(
    "deployment_files", _name("model"), _version(), Column("files", Text(DOCUMENT), nullable=False)
)

replicas = _table(
    "replicas",
    _name("model"),
    _version(),
    _name("node"),
    Column("seat", String(WORD), nullable=False),
    Column("deadline", Double, nullable=False),
    Column("since", Double, nullable=False),
)

nodes = _table(
    "nodes", _name("name"), Column("info", Text, nullable=False), Column("cordoned", Boolean, nullable=False)
)

published = _table(
    "published",
    _name("model"),
    Column("revision", Integer, nullable=False),
    Column("versions", Text(DOCUMENT), nullable=False),
)

gateways = _table("gateways", Column("name", String(128), primary_key=True), Column("seen", Double, nullable=False))

# One request_id makes one deployment.
requests = _table(
    "requests",
    Column("id", String(64), primary_key=True),
    Column("fingerprint", String(64), nullable=False),
    Column("model", String(NAME), nullable=False),
    Column("version", Integer, nullable=False),
    Column("created", Double, nullable=False),
)

# The highest fence a leader has written under; an earlier leader's transaction is refused.
fences = _table("fences", _name("name"), Column("fence", BigInteger, nullable=False))
