"""Deployments, where they run, and what is known of nodes and gateways.

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
        "deployments",
        _key("model"),
        _version(),
        _text("digest", 71),
        sa.Column("replicas", sa.Integer, nullable=False),
        _text("pool", 63),
        _text("backend", 63),
        sa.Column("memory_bytes", sa.BigInteger, nullable=False),
        _text("phase", 32),
        sa.Column("force", sa.Boolean, nullable=False),
        sa.Column("generation", sa.Integer, nullable=False),
        sa.Column("held", sa.Boolean, nullable=False),
        _text("route", 32),
        _text("reason", 63),
        sa.Column("message", sa.Text, nullable=False),
        _time("created"),
        _time("updated"),
    )
    _create("deployment_files", _key("model"), _version(), sa.Column("files", sa.Text(DOCUMENT), nullable=False))
    _create("replicas", _key("model"), _version(), _key("node"), _text("seat", 32), _time("deadline"), _time("since"))
    flag, info = sa.Column("cordoned", sa.Boolean, nullable=False), sa.Column("info", sa.Text, nullable=False)
    _create("nodes", _key("name"), info, flag)
    _create(
        "published",
        _key("model"),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("versions", sa.Text(DOCUMENT), nullable=False),
    )
    _create("gateways", _key("name", 128), _time("seen"))
    made = (_text("model", 63), sa.Column("version", sa.Integer, nullable=False))
    _create("requests", _key("id", 64), _text("fingerprint", 64), *made, _time("created"))
    _create("fences", _key("name"), sa.Column("fence", sa.BigInteger, nullable=False))


def _create(name: str, *columns: sa.Column[Any]) -> None:
    if not sa.inspect(op.get_bind()).has_table(name):
        op.create_table(name, *columns, **OPTIONS)


def _key(name: str, length: int = 63) -> sa.Column[str]:
    return sa.Column(name, sa.String(length), primary_key=True)


def _version() -> sa.Column[int]:
    return sa.Column("version", sa.Integer, primary_key=True, autoincrement=False)


def _text(name: str, length: int) -> sa.Column[str]:
    return sa.Column(name, sa.String(length), nullable=False)


def _time(name: str) -> sa.Column[float]:
    return sa.Column(name, sa.Double, nullable=False)
