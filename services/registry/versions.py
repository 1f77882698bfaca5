"""Versions after they are made: read, described, deleted and brought back; aliases and holds."""

from __future__ import annotations

from typing import Any

from bmase.reasons import Reason
from bmase.registry.v1 import registry_pb2 as pb
from sqlalchemy import delete, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from services.kit.database import Database
from services.kit.decode import VersionRef
from services.kit.errors import DomainError
from services.registry import models, moments, requests, rows, tables
from services.registry.journal import Journal, Kind, Turn
from services.registry.labels import labels_column


class Versions:
    """What can be done to versions."""

    def __init__(self, database: Database, journal: Journal) -> None:
        self._database = database
        self._journal = journal

    async def get(self, model: str, which: str) -> pb.Version:
        """By number (a deleted one too, with its delete time), alias, or "latest"."""
        async with self._database.read() as session:
            return await rows.version_message(session, await _resolved(session, model, which))

    async def update(self, asked: requests.UpdateVersion) -> pb.Version:
        """Changes description and labels."""
        ref = asked.version.name

        async def work(turn: Turn) -> pb.Version:
            await rows.version_row(turn.session, ref)
            if "labels" in asked.update_fields:
                owner: dict[str, str | int] = {"model": ref.model, "number": ref.version}
                await models.put_labels(turn.session, tables.version_labels, owner, asked.version.labels)
            fields: dict[str, Any] = {
                "description": asked.version.description,
                "labels": labels_column(asked.version.labels),
            }
            return await _changed(turn, ref, **{key: fields[key] for key in asked.update_fields})

        return await self._journal.change(work)

    async def delete(self, ref: VersionRef) -> pb.Version:
        """VERSION_IN_USE while an alias or a hold refers to it; deleting a deleted version changes nothing."""

        async def work(turn: Turn) -> pb.Version:
            row = await rows.version_row(turn.session, ref, deleted=True)
            if row.delete_time is not None:
                return await rows.version_message(turn.session, ref)
            await _refuse_used(turn.session, ref)
            return await _changed(turn, ref, kind=Kind.KIND_VERSION_DELETED, delete_time=turn.now)

        return await self._journal.change(work)

    async def undelete(self, ref: VersionRef) -> pb.Version:
        """VERSION_EXISTS when the model got an equal version meanwhile."""

        async def work(turn: Turn) -> pb.Version:
            row = await rows.version_row(turn.session, ref, deleted=True)
            await rows.model_row(turn.session, ref.model)
            if row.delete_time is None:
                return await rows.version_message(turn.session, ref)
            await refuse_equal(turn.session, ref.model, row.digest)
            return await _changed(turn, ref, delete_time=None)

        return await self._journal.change(work)

    async def set_alias(self, asked: requests.SetAlias) -> pb.Model:
        """Atomically; ETAG_MISMATCH when the alias is not where the caller believed it to be.

        One that points there already stays: a caller that got no answer may ask again.
        """
        name, aliases = asked.model.model, tables.aliases
        mine = (aliases.c.model == name) & (aliases.c.alias == asked.alias)

        async def work(turn: Turn) -> pb.Model:
            await rows.model_row(turn.session, name)
            await rows.version_row(turn.session, VersionRef(name, asked.version))
            present = await turn.session.scalar(select(aliases.c.number).where(mine))
            if present == asked.version:
                return await rows.model_message(turn.session, name)
            _check_expected(asked, present)
            await turn.session.execute(delete(aliases).where(mine))
            values = {"model": name, "alias": asked.alias, "number": asked.version}
            await turn.session.execute(aliases.insert().values(values))
            return await models.touched(turn, name)

        return await self._journal.change(work)

    async def delete_alias(self, name: str, alias: str) -> pb.Model:
        """ALIAS_NOT_FOUND."""
        aliases = tables.aliases
        mine = (aliases.c.model == name) & (aliases.c.alias == alias)

        async def work(turn: Turn) -> pb.Model:
            await rows.model_row(turn.session, name)
            if await turn.session.scalar(select(aliases.c.number).where(mine)) is None:
                raise no_alias(name, alias)
            await turn.session.execute(delete(aliases).where(mine))
            return await models.touched(turn, name)

        return await self._journal.change(work)

    async def put_hold(self, ref: VersionRef, holder: str) -> pb.Hold:
        """Keeps the version from being deleted; a hold that is there already is answered as it is."""
        holds = tables.holds
        mine = (holds.c.model == ref.model) & (holds.c.number == ref.version) & (holds.c.holder == holder)

        async def work(turn: Turn) -> pb.Hold:
            await rows.version_row(turn.session, ref)
            since = await turn.session.scalar(select(holds.c.create_time).where(mine))
            if since is None:
                since = turn.now
                values = {"model": ref.model, "number": ref.version, "holder": holder, "create_time": since}
                await turn.session.execute(holds.insert().values(values))
                await _changed(turn, ref)
            return pb.Hold(holder=holder, create_time=moments.stamp(since))

        return await self._journal.change(work)

    async def delete_hold(self, ref: VersionRef, holder: str) -> None:
        """A hold that is not there, or whose version is not, is gone already."""
        holds = tables.holds
        mine = (holds.c.model == ref.model) & (holds.c.number == ref.version) & (holds.c.holder == holder)

        async def work(turn: Turn) -> None:
            if await turn.session.scalar(select(holds.c.create_time).where(mine)) is not None:
                await turn.session.execute(delete(holds).where(mine))
                await _changed(turn, ref)

        await self._journal.change(work)


async def _resolved(session: AsyncSession, model: str, which: str) -> VersionRef:
    if which.isdecimal():
        return VersionRef(model, int(which))
    row = await rows.model_row(session, model)
    if which == "latest":
        if not row.latest_version:
            raise rows.no_version(model, f"the model {model!r} has no version yet", "Push one.")
        return VersionRef(model, row.latest_version)
    aliases = tables.aliases
    number = await session.scalar(select(aliases.c.number).where(aliases.c.model == model, aliases.c.alias == which))
    if number is None:
        raise no_alias(model, which)
    return VersionRef(model, number)


def no_alias(model: str, alias: str) -> DomainError:
    """ALIAS_NOT_FOUND."""
    return DomainError(
        Reason.ALIAS_NOT_FOUND,
        f"the model {model!r} has no alias {alias!r}",
        hint="GetModel shows its aliases; SetAlias makes one.",
        metadata={"model": model, "alias": alias},
    )


async def _changed(turn: Turn, ref: VersionRef, kind: Kind = Kind.KIND_VERSION_PUT, **values: Any) -> pb.Version:
    """The version after a change of these columns, recorded together with its model."""
    versions = tables.versions
    if values:
        mine = (versions.c.model == ref.model) & (versions.c.number == ref.version)
        await turn.session.execute(update(versions).where(mine).values(**values))
    await models.refreshed(turn, ref.model)
    version = await rows.version_message(turn.session, ref)
    await turn.record(kind, await rows.model_message(turn.session, ref.model), version)
    return version


async def refuse_equal(session: AsyncSession, model: str, digest: str) -> None:
    """VERSION_EXISTS when a version of the model that is not deleted has the same content."""
    versions = tables.versions
    alive = (versions.c.model == model) & (versions.c.digest == digest) & versions.c.delete_time.is_(None)
    number = await session.scalar(select(versions.c.number).where(alive).limit(1))
    if number is not None:
        raise DomainError(
            Reason.VERSION_EXISTS,
            f"version {number} of {model!r} has exactly this content",
            hint=f"Use models/{model}/versions/{number}.",
            metadata={"model": model, "version": str(number)},
        )


async def _refuse_used(session: AsyncSession, ref: VersionRef) -> None:
    aliases, holds = tables.aliases, tables.holds
    named = (aliases.c.model == ref.model) & (aliases.c.number == ref.version)
    held = (holds.c.model == ref.model) & (holds.c.number == ref.version)
    alias = await session.scalar(select(aliases.c.alias).where(named).limit(1))
    holder = await session.scalar(select(holds.c.holder).where(held).limit(1))
    if alias is None and holder is None:
        return
    by = f"the alias {alias!r} points at it" if alias is not None else f"{holder!r} holds it"
    raise DomainError(
        Reason.VERSION_IN_USE,
        f"version {ref.version} of {ref.model!r} is in use: {by}",
        hint="Move or delete the alias first." if alias is not None else "Undeploy it first.",
        metadata={"model": ref.model, "version": str(ref.version)},
    )


def _check_expected(asked: requests.SetAlias, present: int | None) -> None:
    expected = asked.expected_version
    if expected in (0, -1 if present is None else present):
        return
    now = "does not exist" if present is None else f"points at version {present}"
    raise DomainError(
        Reason.ETAG_MISMATCH,
        f"the alias {asked.alias!r} {now}",
        field="expected_version",
        hint="Read the model again and decide anew.",
        metadata={"version": str(present or 0)},
    )
