"""Models, versions, artefacts, and what stands around them.

On MySQL every statement of DDL commits by itself: each asks first whether it is done, so that a start that was killed
half way is simply started again.
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
    _catalogue()
    for name in ("version_labels", "version_lineage"):
        value = sa.Column("value", sa.String(256), nullable=False)
        _create(name, *_of_version(), _key("name", 63), value, by_value=("name", "value", "model", "number"))
    value = sa.Column("value", sa.Double, nullable=False)
    _create("version_metrics", *_of_version(), _key("name", 63), value, by_value=("name", "value", "model", "number"))
    _artefacts()
    _around()


def _catalogue() -> None:
    _create(
        "models",
        _key("name", 63),
        sa.Column("description", sa.Text, nullable=False),
        sa.Column("labels", sa.Text, nullable=False),
        sa.Column("next_number", sa.Integer, nullable=False),
        sa.Column("version_count", sa.Integer, nullable=False),
        sa.Column("latest_version", sa.Integer, nullable=False),
        _time("create_time"),
        _time("update_time"),
        sa.Column("delete_time", sa.BigInteger),
        sa.Column("revision", sa.BigInteger, nullable=False),
        by_create_time=("create_time", "name"),
        by_update_time=("update_time", "name"),
    )
    label = sa.Column("value", sa.String(256), nullable=False)
    _create("model_labels", _model(), _key("name", 63), label, by_value=("name", "value", "model"))
    _create("retired_models", _key("name", 63), sa.Column("next_number", sa.Integer, nullable=False))
    _create(
        "versions",
        _model(),
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("description", sa.Text, nullable=False),
        sa.Column("labels", sa.Text, nullable=False),
        sa.Column("format", sa.Integer, nullable=False),
        sa.Column("digest", sa.String(71), nullable=False),
        sa.Column("document", sa.LargeBinary(DOCUMENT), nullable=False),
        _time("create_time"),
        sa.Column("delete_time", sa.BigInteger),
        by_digest=("digest",),
        by_create_time=("create_time", "model", "number"),
    )


def _artefacts() -> None:
    _create(
        "artefacts",
        _key("digest", 71),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("blob_key", sa.String(255), nullable=False),
        _time("create_time"),
        _time("touch_time"),
        by_touch_time=("touch_time", "digest"),
    )
    digest = sa.Column("digest", sa.String(71), sa.ForeignKey("artefacts.digest"), nullable=False)
    _create("version_files", *_of_version(), _key("path", 255), digest, by_digest=("digest",))
    _create("spare_blobs", _key("blob_key", 255), _time("since"))


def _around() -> None:
    _create(
        "aliases",
        _model(),
        _key("alias", 63),
        sa.Column("number", sa.Integer, nullable=False),
        sa.ForeignKeyConstraint(["model", "number"], ["versions.model", "versions.number"]),
        by_alias=("alias", "model"),
    )
    _create("holds", *_of_version(), _key("holder", 255), _time("create_time"))
    _create(
        "answers",
        _key("request_id", 64),
        sa.Column("fingerprint", sa.String(64), nullable=False),
        sa.Column("answer", sa.LargeBinary(DOCUMENT), nullable=False),
        _time("create_time"),
        by_create_time=("create_time",),
    )
    _create(
        "changes",
        sa.Column("revision", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("model", sa.String(63), nullable=False),
        sa.Column("event", sa.LargeBinary(DOCUMENT), nullable=False),
        _time("create_time"),
        by_model=("model", "revision"),
        by_create_time=("create_time",),
    )
    _create(
        "revisions",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("last", sa.BigInteger, nullable=False),
        sa.Column("oldest", sa.BigInteger, nullable=False),
    )
    if op.get_bind().scalar(sa.text("SELECT COUNT(*) FROM revisions")) == 0:
        op.execute("INSERT INTO revisions (id, last, oldest) VALUES (1, 0, 0)")


def _key(name: str, length: int) -> sa.Column[Any]:
    return sa.Column(name, sa.String(length), primary_key=True)


def _time(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.BigInteger, nullable=False)


def _model() -> sa.Column[Any]:
    return sa.Column("model", sa.String(63), sa.ForeignKey("models.name", ondelete="CASCADE"), primary_key=True)


def _of_version() -> tuple[Any, ...]:
    return (
        sa.Column("model", sa.String(63), primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.ForeignKeyConstraint(["model", "number"], ["versions.model", "versions.number"], ondelete="CASCADE"),
    )


def _create(name: str, *parts: Any, **indexes: tuple[str, ...]) -> None:
    found = sa.inspect(op.get_bind())
    if not found.has_table(name):
        op.create_table(name, *parts, **OPTIONS)
        found = sa.inspect(op.get_bind())
    there = {index["name"] for index in found.get_indexes(name)}
    for suffix, columns in indexes.items():
        if f"{name}_{suffix}" not in there:
            op.create_index(f"{name}_{suffix}", name, list(columns))
