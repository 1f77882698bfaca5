"""Models: made, changed, deleted and brought back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bmase.reasons import Reason
from bmase.registry.v1 import registry_pb2 as pb
from sqlalchemy import Row, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from services.kit.database import Database
from services.kit.errors import DomainError
from services.registry import answers, requests, rows, tables
from services.registry.journal import Journal, Kind, Turn
from services.registry.labels import labels_column


class Models:
    """What can be done to models."""

    def __init__(self, database: Database, journal: Journal) -> None:
        self._database = database
        self._journal = journal

    async def create(self, asked: requests.CreateModel, fingerprint: str) -> pb.Model:
        """MODEL_EXISTS also for a deleted one, which still has its name."""

        async def work(turn: Turn) -> pb.Model:
            known = await answers.first_answer(turn.session, asked.request_id, fingerprint, pb.Model)
            if known is not None:
                return known
            model = await insert(turn, asked.model.name.model, asked.model.description, asked.model.labels)
            await answers.keep(turn.session, asked.request_id, fingerprint, model)
            return model

        return await self._journal.change(work)

    async def get(self, name: str) -> pb.Model:
        """A deleted model too, with its delete time."""
        async with self._database.read() as session:
            return await rows.model_message(session, name)

    async def update(self, asked: requests.UpdateModel) -> pb.Model:
        """ETAG_MISMATCH when an etag is given and the model was changed since."""
        name = asked.model.name.model

        async def work(turn: Turn) -> pb.Model:
            row = await rows.model_row(turn.session, name)
            check_etag(row, asked.model.etag)
            if "labels" in asked.update_fields:
                await put_labels(turn.session, tables.model_labels, {"model": name}, asked.model.labels)
            fields: dict[str, Any] = {
                "description": asked.model.description,
                "labels": labels_column(asked.model.labels),
            }
            return await touched(turn, name, **{key: fields[key] for key in asked.update_fields})

        return await self._journal.change(work)

    async def delete(self, name: str, etag: str) -> pb.Model:
        """VERSION_IN_USE while one of its versions is held; deleting a deleted model changes nothing."""

        async def work(turn: Turn) -> pb.Model:
            row = await rows.model_row(turn.session, name, deleted=True)
            check_etag(row, etag)
            if row.delete_time is None:
                await _refuse_held(turn.session, name)
                return await touched(turn, name, kind=Kind.KIND_MODEL_DELETED, delete_time=turn.now)
            return await rows.model_message(turn.session, name)

        return await self._journal.change(work)

    async def undelete(self, name: str) -> pb.Model:
        """Brings the model back with its versions; watchers hear of each of them."""

        async def work(turn: Turn) -> pb.Model:
            row = await rows.model_row(turn.session, name, deleted=True)
            if row.delete_time is None:
                return await rows.model_message(turn.session, name)
            model = await touched(turn, name, delete_time=None)
            alive = rows.VERSIONS.where(tables.versions.c.model == name, tables.versions.c.delete_time.is_(None))
            found = (await turn.session.execute(alive.order_by(tables.versions.c.number))).all()
            for version in await rows.version_messages(turn.session, found):
                await turn.record(Kind.KIND_VERSION_PUT, model, version)
            return model

        return await self._journal.change(work)


async def insert(turn: Turn, name: str, description: str, labels: Mapping[str, str]) -> pb.Model:
    """A new model, recorded; its numbers go on where those of a removed model of this name ended."""
    there = (await turn.session.execute(select(tables.models).where(tables.models.c.name == name))).one_or_none()
    if there is not None:
        raise _exists(name, there)
    retired = tables.retired_models
    last = await turn.session.scalar(select(retired.c.next_number).where(retired.c.name == name))
    values = {
        "name": name,
        "description": description,
        "labels": labels_column(labels),
        "next_number": last or 1,
        "version_count": 0,
        "latest_version": 0,
        "create_time": turn.now,
        "update_time": turn.now,
        "revision": turn.next_revision(),
    }
    await turn.session.execute(tables.models.insert().values(values))
    await put_labels(turn.session, tables.model_labels, {"model": name}, labels)
    model = await rows.model_message(turn.session, name)
    await turn.record(Kind.KIND_MODEL_PUT, model)
    return model


def _exists(name: str, row: Row[Any]) -> DomainError:
    deleted = row.delete_time is not None
    return DomainError(
        Reason.MODEL_EXISTS,
        f"the model {name!r} exists{' and is deleted' if deleted else ''}",
        hint="Undelete it, or choose another name." if deleted else "Push a version to it, or choose another name.",
        metadata={"model": name},
    )


async def touched(turn: Turn, name: str, kind: Kind = Kind.KIND_MODEL_PUT, **values: Any) -> pb.Model:
    """The model after a change of these columns, recorded."""
    await refreshed(turn, name, **values)
    model = await rows.model_message(turn.session, name)
    await turn.record(kind, model)
    return model


async def refreshed(turn: Turn, name: str, **values: Any) -> None:
    """Writes columns and those that follow from the versions; the next change that is recorded must be this one."""
    versions = tables.versions
    alive = (versions.c.model == name) & versions.c.delete_time.is_(None)
    count, latest = (await turn.session.execute(select(func.count(), func.max(versions.c.number)).where(alive))).one()
    derived = {
        "version_count": count,
        "latest_version": latest or 0,
        "update_time": turn.now,
        "revision": turn.next_revision(),
    }
    await turn.session.execute(update(tables.models).where(tables.models.c.name == name).values(**derived, **values))


def check_etag(row: Row[Any], etag: str) -> None:
    """ETAG_MISMATCH unless the etag is the row's, or none was given."""
    if etag and etag != f"r{row.revision}":
        raise DomainError(
            Reason.ETAG_MISMATCH,
            f"the model {row.name!r} was changed since it was read",
            field="etag",
            hint="Read it again and repeat the change.",
        )


async def put_labels(
    session: AsyncSession, table: Any, owner: Mapping[str, str | int], labels: Mapping[str, Any]
) -> None:
    """Replaces the searchable names and values of a model or version."""
    mine = [table.c[column] == value for column, value in owner.items()]
    await session.execute(table.delete().where(*mine))
    if labels:
        entries = [{**owner, "name": name, "value": value} for name, value in labels.items()]
        await session.execute(table.insert(), entries)


async def _refuse_held(session: AsyncSession, name: str) -> None:
    hold = (await session.execute(select(tables.holds).where(tables.holds.c.model == name).limit(1))).one_or_none()
    if hold is not None:
        raise DomainError(
            Reason.VERSION_IN_USE,
            f"version {hold.number} of {name!r} is held by {hold.holder!r}",
            hint="Undeploy it first.",
            metadata={"model": name, "version": str(hold.number), "holder": hold.holder},
        )
