"""Lists: filters and orders as SQL, and pages that go on after a row."""

from __future__ import annotations

import operator
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from bmase.registry.v1 import registry_pb2 as pb
from google.protobuf.message import Message
from sqlalchemy import ColumnElement, Row, Select, and_, exists, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from services.kit import pages
from services.kit.database import Database
from services.kit.filters import Term, parse_filter
from services.kit.pages import Value
from services.registry import requests, rows, tables
from services.registry.filters import MODEL_FIELDS, VERSION_FIELDS
from services.registry.orders import Order, model_order, version_order

Item = TypeVar("Item", bound=Message)
# Columns of an order, each with whether it falls, and the Python type of its values.
Columns = Sequence[tuple[ColumnElement[Any], bool, type]]

_COMPARED = {
    "=": operator.eq, "!=": operator.ne, ">": operator.gt, ">=": operator.ge, "<": operator.lt, "<=": operator.le,
}  # fmt: skip
_AFTER_ANY = "\U0010ffff"


class Lists:
    """ListModels and ListVersions."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def models(self, asked: requests.ListModels) -> tuple[list[pb.Model], str]:
        """One page of models and the token of the next."""
        terms, order = parse_filter(asked.filter, MODEL_FIELDS), model_order(asked.order_by)
        models = tables.models
        found = select(models).where(*[_of_model(term) for term in terms])
        if not asked.show_deleted:
            found = found.where(models.c.delete_time.is_(None))
        columns = _model_columns(order)
        identity = pages.identity("models", asked.filter, asked.order_by, asked.show_deleted)
        async with self._database.read() as session:
            return await _page(
                session, found, columns, asked, identity=identity, size=rows.MODEL_SIZE, messages=rows.model_messages
            )

    async def versions(self, asked: requests.ListVersions) -> tuple[list[pb.Version], str]:
        """One page of versions of a model (of all models without a parent) and the token of the next."""
        terms, order = parse_filter(asked.filter, VERSION_FIELDS), version_order(asked.order_by)
        name = asked.parent.model if asked.parent else ""
        found = rows.VERSIONS.where(*[_of_version(term) for term in terms])
        if name:
            found = found.where(tables.versions.c.model == name)
        if not asked.show_deleted:
            found = found.where(tables.versions.c.delete_time.is_(None), tables.models.c.delete_time.is_(None))
        found, columns = _version_columns(found, order)
        identity = pages.identity("versions", name, asked.filter, asked.order_by, asked.show_deleted)
        async with self._database.read() as session:
            if name:
                await rows.model_row(session, name, deleted=asked.show_deleted)
            return await _page(
                session,
                found,
                columns,
                asked,
                identity=identity,
                size=rows.VERSION_SIZE,
                messages=rows.version_messages,
            )


async def _page(
    session: AsyncSession,
    found: Select[Any],
    columns: Columns,
    asked: requests.Page,
    *,
    identity: str,
    size: ColumnElement[int],
    messages: Callable[[AsyncSession, Sequence[Row[Any]]], Awaitable[list[Item]]],
) -> tuple[list[Item], str]:
    last = pages.after(asked.page_token, identity, tuple(kind for _, _, kind in columns))
    if last is not None:
        found = found.where(_beyond(columns, last))
    keys = [column.label(f"order_{index}") for index, (column, _, _) in enumerate(columns)]
    ordered = found.add_columns(*keys).order_by(*[c.desc() if falls else c for c, falls, _ in columns])
    # Sizes first: what does not fit is not even read.
    sizes = (await session.scalars(ordered.with_only_columns(size).limit(asked.page_size + 1))).all()
    fitting = pages.that_fit(sizes[: asked.page_size])
    got = (await session.execute(ordered.limit(fitting))).all()
    items = await messages(session, got)
    kept = pages.that_fit([item.ByteSize() for item in items])
    if kept == len(got) and (len(got) < fitting or fitting == len(sizes)):
        return items, ""
    end = got[kept - 1]
    return items[:kept], pages.token(identity, tuple(getattr(end, key.name) for key in keys))


def _beyond(columns: Columns, last: Sequence[Value]) -> ColumnElement[bool]:
    """Rows that come after one with these values in the order of the columns."""
    (column, falls, _), value = columns[0], last[0]
    strictly = column < value if falls else column > value
    if len(columns) == 1:
        return strictly
    return and_(column <= value if falls else column >= value, or_(strictly, _beyond(columns[1:], last[1:])))


# --- orders ---------------------------------------------------------------------------------------------------------


def _model_columns(order: Order) -> Columns:
    name = (tables.models.c.name, order.descending, str)
    return [name] if order.field == "name" else [(tables.models.c[order.field], order.descending, int), name]


def _version_columns(found: Select[Any], order: Order) -> tuple[Select[Any], Columns]:
    versions, metrics = tables.versions, tables.version_metrics
    if order.field == "number":
        return found, [(versions.c.model, False, str), (versions.c.number, order.descending, int)]
    place = [(versions.c.model, order.descending, str), (versions.c.number, order.descending, int)]
    if order.field == "create_time":
        return found, [(versions.c.create_time, order.descending, int), *place]
    same = (metrics.c.model == versions.c.model) & (metrics.c.number == versions.c.number)
    with_metric = found.join(metrics, and_(same, metrics.c.name == order.key))
    return with_metric, [(metrics.c.value, order.descending, float), *place]


# --- filters --------------------------------------------------------------------------------------------------------


def _of_model(term: Term) -> ColumnElement[bool]:
    models, labels, aliases = tables.models, tables.model_labels, tables.aliases
    match term.field:
        case "labels":
            return _among(term, labels.c.value, labels.c.model == models.c.name, labels.c.name == term.key)
        case "alias":
            return exists().where(aliases.c.model == models.c.name, _text(term, aliases.c.alias))
        case "description":
            return models.c.description.contains(str(term.value), autoescape=True)
        case "name":
            return _text(term, models.c.name)
        case _:
            return _COMPARED[term.operator](models.c[term.field], term.value)  # type: ignore[no-any-return]


def _of_version(term: Term) -> ColumnElement[bool]:
    versions, aliases, files = tables.versions, tables.aliases, tables.version_files
    match term.field:
        case "labels" | "lineage" | "metrics":
            table = getattr(tables, f"version_{term.field}")
            return _among(term, table.c.value, _mine(table), table.c.name == term.key)
        case "alias":
            return exists().where(_mine(aliases), _text(term, aliases.c.alias))
        case "file":
            return exists().where(_mine(files), _text(term, files.c.digest))
        case "description":
            return versions.c.description.contains(str(term.value), autoescape=True)
        case "model" | "digest":
            return _text(term, versions.c[term.field])
        case _:
            return _COMPARED[term.operator](versions.c[term.field], term.value)  # type: ignore[no-any-return]


def _mine(table: Any) -> ColumnElement[bool]:
    return and_(table.c.model == tables.versions.c.model, table.c.number == tables.versions.c.number)


def _among(term: Term, column: ColumnElement[Any], *where: ColumnElement[bool]) -> ColumnElement[bool]:
    """A condition on one of many named values; "not equal" holds where the name has another value, not where it
    lacks.
    """
    if isinstance(term.value, str):
        return exists().where(*where, _text(term, column))
    return exists().where(*where, _COMPARED[term.operator](column, term.value))


def _text(term: Term, column: ColumnElement[Any]) -> ColumnElement[bool]:
    wanted = str(term.value)
    if term.prefix:
        # A range rather than LIKE: it uses the index and compares by bytes on every database.
        return and_(column >= wanted, column < f"{wanted}{_AFTER_ANY}")
    return column != wanted if term.operator == "!=" else column == wanted
