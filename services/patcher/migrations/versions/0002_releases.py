"""Releases, their audit trail, and the requests that made them.

As in 0001, each table is made only if it is not there: a start that was killed half way is simply started again.
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
        "releases",
        _key("id", 63),
        _text("model", 63),
        sa.Column("active_model", sa.String(63), nullable=True, unique=True),
        sa.Column("unfinished", sa.Boolean, nullable=False),
        _time("created"),
        sa.Column("document", sa.Text(DOCUMENT), nullable=False),
        _bytes("evidence"),
        sa.Index("releases_unfinished", "unfinished"),
        sa.Index("releases_created", "created", "id"),
    )
    number = sa.BigInteger().with_variant(sa.Integer, "sqlite")
    _create(
        "release_events",
        _key("release_id", 63),
        sa.Column("number", number, primary_key=True, autoincrement=False),
        _time("time"),
        _text("kind", 32),
        _text("reason", 128),
        _text("actor", 128),
        _time("percent"),
        sa.Column("message", sa.Text, nullable=False),
        _bytes("evidence"),
    )
    _create("release_requests", _key("id", 64), _text("fingerprint", 64), _text("release_id", 63), _time("created"))


def _create(name: str, *columns: sa.Column[Any] | sa.Index) -> None:
    if not sa.inspect(op.get_bind()).has_table(name):
        op.create_table(name, *columns, **OPTIONS)


def _key(name: str, length: int) -> sa.Column[str]:
    return sa.Column(name, sa.String(length), primary_key=True)


def _text(name: str, length: int) -> sa.Column[str]:
    return sa.Column(name, sa.String(length), nullable=False)


def _time(name: str) -> sa.Column[float]:
    return sa.Column(name, sa.Double, nullable=False)


def _bytes(name: str) -> sa.Column[bytes]:
    return sa.Column(name, sa.LargeBinary(DOCUMENT), nullable=False)
