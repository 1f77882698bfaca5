"""From rows to the messages of the contract."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from bmase.reasons import Reason
from bmase.registry.v1 import registry_pb2 as pb
from sqlalchemy import ColumnElement, Row, Select, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from services.kit.decode import ModelRef, VersionRef
from services.kit.errors import DomainError
from services.registry import moments
from services.registry.tables import aliases, holds, models, versions

# A version is deleted when it or its model is.
VERSIONS: Select[Any] = select(versions, models.c.delete_time.label("model_delete_time")).join(
    models, models.c.name == versions.c.model
)
# Most of what a row weighs, for those who read many: the rest of it is bounded to little.
MODEL_SIZE: ColumnElement[int] = func.length(models.c.description) + func.length(models.c.labels)
VERSION_SIZE: ColumnElement[int] = func.length(versions.c.document)


async def model_row(session: AsyncSession, name: str, *, deleted: bool = False) -> Row[Any]:
    """The row of a model; MODEL_NOT_FOUND when there is none, or it is deleted and `deleted` does not allow that."""
    row = (await session.execute(select(models).where(models.c.name == name))).one_or_none()
    if row is None:
        raise DomainError(
            Reason.MODEL_NOT_FOUND,
            f"there is no model {name!r}",
            hint="List the models, or create it first.",
            metadata={"model": name},
        )
    if row.delete_time is not None and not deleted:
        raise DomainError(
            Reason.MODEL_NOT_FOUND,
            f"the model {name!r} is deleted",
            hint="Undelete it while garbage collection has not removed it.",
            metadata={"model": name},
        )
    return row


async def version_row(session: AsyncSession, ref: VersionRef, *, deleted: bool = False) -> Row[Any]:
    """The row of a version with its model's delete time; VERSION_NOT_FOUND or MODEL_NOT_FOUND."""
    found = VERSIONS.where(versions.c.model == ref.model, versions.c.number == ref.version)
    row = (await session.execute(found)).one_or_none()
    if row is None:
        await model_row(session, ref.model, deleted=True)
        raise no_version(ref.model, f"the model {ref.model!r} has no version {ref.version}")
    if not deleted and (row.delete_time or row.model_delete_time) is not None:
        raise no_version(ref.model, f"version {ref.version} of {ref.model!r} is deleted", "Undelete it first.")
    return row


def no_version(model: str, message: str, hint: str = "List the versions of the model.") -> DomainError:
    """VERSION_NOT_FOUND."""
    return DomainError(Reason.VERSION_NOT_FOUND, message, hint=hint, metadata={"model": model})


async def model_messages(session: AsyncSession, rows: Sequence[Row[Any]]) -> list[pb.Model]:
    """Models in the order of their rows."""
    named = await _aliases(session, {row.name for row in rows})
    return [_model(row, named[row.name]) for row in rows]


async def model_message(session: AsyncSession, name: str) -> pb.Model:
    """One model as it is now, deleted or not."""
    return (await model_messages(session, [await model_row(session, name, deleted=True)]))[0]


async def version_messages(session: AsyncSession, rows: Sequence[Row[Any]]) -> list[pb.Version]:
    """Versions in the order of their rows, which must come from VERSIONS."""
    named = await _aliases(session, {row.model for row in rows})
    held = await _holds(session, rows)
    return [_version(row, named[row.model], held[row.model, row.number]) for row in rows]


async def version_message(session: AsyncSession, ref: VersionRef) -> pb.Version:
    """One version as it is now, deleted or not."""
    return (await version_messages(session, [await version_row(session, ref, deleted=True)]))[0]


async def _aliases(session: AsyncSession, names: Iterable[str]) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = defaultdict(dict)
    wanted = select(aliases).where(aliases.c.model.in_(sorted(names))).order_by(aliases.c.model, aliases.c.alias)
    for row in await session.execute(wanted):
        found[row.model][row.alias] = row.number
    return found


async def _holds(session: AsyncSession, rows: Sequence[Row[Any]]) -> dict[tuple[str, int], list[pb.Hold]]:
    found: dict[tuple[str, int], list[pb.Hold]] = defaultdict(list)
    numbers = {(row.model, row.number) for row in rows}
    wanted = select(holds).where(holds.c.model.in_(sorted({row.model for row in rows}))).order_by(holds.c.holder)
    for row in await session.execute(wanted):
        if (row.model, row.number) in numbers:
            hold = pb.Hold(holder=row.holder, create_time=moments.stamp(row.create_time))
            found[row.model, row.number].append(hold)
    return found


def _model(row: Row[Any], named: dict[str, int]) -> pb.Model:
    return pb.Model(
        name=str(ModelRef(row.name)),
        description=row.description,
        labels=json.loads(row.labels),
        aliases=named,
        latest_version=row.latest_version,
        version_count=row.version_count,
        create_time=moments.stamp(row.create_time),
        update_time=moments.stamp(row.update_time),
        delete_time=None if row.delete_time is None else moments.stamp(row.delete_time),
        etag=f"r{row.revision}",
    )


def _version(row: Row[Any], named: dict[str, int], held: list[pb.Hold]) -> pb.Version:
    message = pb.Version.FromString(row.document)
    deleted = row.delete_time if row.delete_time is not None else row.model_delete_time
    message.MergeFrom(
        pb.Version(
            name=str(VersionRef(row.model, row.number)),
            number=row.number,
            description=row.description,
            labels=json.loads(row.labels),
            aliases=[alias for alias, number in named.items() if number == row.number],
            holds=held,
            create_time=moments.stamp(row.create_time),
            delete_time=None if deleted is None else moments.stamp(deleted),
        )
    )
    return message
