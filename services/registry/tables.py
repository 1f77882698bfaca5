"""The registry's tables. Times are whole microseconds since 1970 in UTC, as page tokens carry them exactly.

What a version consists of never changes and is kept as one serialised message beside the columns that are searched.
Rows that belong to a version or model fall with it; an artefact cannot fall while a version has it among its files.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
)

from services.kit.database import TABLE_OPTIONS

metadata = MetaData()

NAME, KEY, VALUE, DIGEST, HOLDER, PATH, ALIAS = 63, 63, 256, 71, 255, 255, 63
DOCUMENT = 2**24 - 1


def _table(name: str, *parts: Any) -> Table:
    options: dict[str, Any] = dict(TABLE_OPTIONS)
    return Table(name, metadata, *parts, **options)


def _model() -> Column[str]:
    return Column("model", String(NAME), ForeignKey("models.name", ondelete="CASCADE"), primary_key=True)


def _of_version() -> tuple[Column[str], Column[int], ForeignKeyConstraint]:
    return (
        Column("model", String(NAME), primary_key=True),
        Column("number", Integer, primary_key=True, autoincrement=False),
        ForeignKeyConstraint(["model", "number"], ["versions.model", "versions.number"], ondelete="CASCADE"),
    )


models = _table(
    "models",
    Column("name", String(NAME), primary_key=True),
    Column("description", Text, nullable=False),
    Column("labels", Text, nullable=False),  # JSON; model_labels is for searching
    Column("next_number", Integer, nullable=False),
    Column("version_count", Integer, nullable=False),
    Column("latest_version", Integer, nullable=False),
    Column("create_time", BigInteger, nullable=False),
    Column("update_time", BigInteger, nullable=False),
    Column("delete_time", BigInteger),
    Column("revision", BigInteger, nullable=False),
    Index("models_by_create_time", "create_time", "name"),
    Index("models_by_update_time", "update_time", "name"),
)

model_labels = _table(
    "model_labels",
    _model(),
    Column("name", String(KEY), primary_key=True),
    Column("value", String(VALUE), nullable=False),
    Index("model_labels_by_value", "name", "value", "model"),
)

# Numbers are never used again, not even by a new model with the name of one that was removed.
retired_models = _table(
    "retired_models",
    Column("name", String(NAME), primary_key=True),
    Column("next_number", Integer, nullable=False),
)

versions = _table(
    "versions",
    _model(),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("description", Text, nullable=False),
    Column("labels", Text, nullable=False),
    Column("format", Integer, nullable=False),
    Column("digest", String(DIGEST), nullable=False),
    Column("document", LargeBinary(DOCUMENT), nullable=False),  # bmase.registry.v1.Version, what never changes of it
    Column("create_time", BigInteger, nullable=False),
    Column("delete_time", BigInteger),
    Index("versions_by_digest", "digest"),
    Index("versions_by_create_time", "create_time", "model", "number"),
)

version_labels = _table(
    "version_labels",
    *_of_version(),
    Column("name", String(KEY), primary_key=True),
    Column("value", String(VALUE), nullable=False),
    Index("version_labels_by_value", "name", "value", "model", "number"),
)

version_lineage = _table(
    "version_lineage",
    *_of_version(),
    Column("name", String(KEY), primary_key=True),
    Column("value", String(VALUE), nullable=False),
    Index("version_lineage_by_value", "name", "value", "model", "number"),
)

version_metrics = _table(
    "version_metrics",
    *_of_version(),
    Column("name", String(KEY), primary_key=True),
    Column("value", Double, nullable=False),
    Index("version_metrics_by_value", "name", "value", "model", "number"),
)

artefacts = _table(
    "artefacts",
    Column("digest", String(DIGEST), primary_key=True),
    Column("size", BigInteger, nullable=False),
    Column("blob_key", String(255), nullable=False),
    Column("create_time", BigInteger, nullable=False),
    Column("touch_time", BigInteger, nullable=False),  # when somebody last asked for it to be there
    Index("artefacts_by_touch_time", "touch_time", "digest"),
)

version_files = _table(
    "version_files",
    *_of_version(),
    Column("path", String(PATH), primary_key=True),
    Column("digest", String(DIGEST), ForeignKey("artefacts.digest"), nullable=False),
    Index("version_files_by_digest", "digest"),
)

# Blobs that are no artefact: being written, or waiting to be removed. Each put and each removal is announced here
# first, under a key that is used once, so that neither a crash nor a race can lose a blob or take one that is needed.
spare_blobs = _table(
    "spare_blobs",
    Column("blob_key", String(255), primary_key=True),
    Column("since", BigInteger, nullable=False),
)

aliases = _table(
    "aliases",
    _model(),
    Column("alias", String(ALIAS), primary_key=True),
    Column("number", Integer, nullable=False),
    ForeignKeyConstraint(["model", "number"], ["versions.model", "versions.number"]),
    Index("aliases_by_alias", "alias", "model"),
)

holds = _table(
    "holds",
    *_of_version(),
    Column("holder", String(HOLDER), primary_key=True),
    Column("create_time", BigInteger, nullable=False),
)

answers = _table(
    "answers",
    Column("request_id", String(64), primary_key=True),
    Column("fingerprint", String(64), nullable=False),
    Column("answer", LargeBinary(DOCUMENT), nullable=False),
    Column("create_time", BigInteger, nullable=False),
    Index("answers_by_create_time", "create_time"),
)

changes = _table(
    "changes",
    Column("revision", BigInteger, primary_key=True, autoincrement=False),
    Column("model", String(NAME), nullable=False),
    Column("event", LargeBinary(DOCUMENT), nullable=False),  # bmase.registry.v1.WatchModelsResponse
    Column("create_time", BigInteger, nullable=False),
    Index("changes_by_model", "model", "revision"),
    Index("changes_by_create_time", "create_time"),
)

# One row. Whoever changes the catalogue locks it first: changes are numbered in the order in which they are seen.
revisions = _table(
    "revisions",
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("last", BigInteger, nullable=False),
    Column("oldest", BigInteger, nullable=False),  # changes up to this one are gone
)
