"""The stream of changes: the present first when it is asked for, then every change in order."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

from bmase.reasons import Reason
from bmase.registry.v1 import registry_pb2 as pb
from sqlalchemy import ColumnElement, Row, Select, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from services.kit import pages
from services.kit.database import Database
from services.kit.errors import DomainError
from services.registry import rows, tables
from services.registry.journal import Journal, Kind

BATCH = 200


class Watch:
    """WatchModels. A slow reader holds back nobody: each reads the journal at its own pace."""

    def __init__(self, database: Database, journal: Journal) -> None:
        self._database = database
        self._journal = journal

    async def events(self, after: int, model: str | None) -> AsyncIterator[pb.WatchModelsResponse]:
        """Never ends. REVISION_GONE when changes after that revision are not kept any more."""
        oldest, last = await self._journal.bounds()
        if after == 0:
            # What changes while this is sent is sent again as a change: the end is right in any case.
            async for event in self._present(model, last):
                yield event
            yield pb.WatchModelsResponse(kind=Kind.KIND_SYNCED, revision=last)
            after = last
        _check_kept(after, oldest, last)
        while True:
            events, more = await self._changes(after, model)
            for event in events:
                yield event
                after = event.revision
            if not more:
                after = max(after, last)
                await self._journal.wait_beyond(after)
                oldest, last = await self._journal.bounds()
                _check_kept(after, oldest, last)

    async def _present(self, model: str | None, revision: int) -> AsyncIterator[pb.WatchModelsResponse]:
        async for found in self._models(model):
            yield pb.WatchModelsResponse(kind=Kind.KIND_MODEL_PUT, revision=revision, model=found)
            async for version in self._versions(found.name.removeprefix("models/")):
                yield pb.WatchModelsResponse(
                    kind=Kind.KIND_VERSION_PUT, revision=revision, model=found, version=version
                )

    async def _models(self, only: str | None) -> AsyncIterator[pb.Model]:
        models, last = tables.models, ""
        while True:
            wanted = select(models).where(models.c.name > last, models.c.delete_time.is_(None))
            if only:
                wanted = wanted.where(models.c.name == only)
            async with self._database.read() as session:
                found = (await session.execute(wanted.order_by(models.c.name).limit(BATCH))).all()
                messages = await rows.model_messages(session, found)
            for message in messages:
                yield message
            if len(found) < BATCH:
                return
            last = found[-1].name

    async def _versions(self, model: str) -> AsyncIterator[pb.Version]:
        versions, last = tables.versions, 0
        while True:
            wanted = rows.VERSIONS.where(versions.c.model == model, versions.c.number > last)
            wanted = wanted.where(versions.c.delete_time.is_(None)).order_by(versions.c.number)
            async with self._database.read() as session:
                found, more = await _some(session, wanted, rows.VERSION_SIZE)
                messages = await rows.version_messages(session, found)
            for message in messages:
                yield message
            if not more:
                return
            last = found[-1].number

    async def _changes(self, after: int, model: str | None) -> tuple[list[pb.WatchModelsResponse], bool]:
        changes = tables.changes
        wanted = select(changes.c.event).where(changes.c.revision > after)
        if model:
            wanted = wanted.where(changes.c.model == model)
        async with self._database.read() as session:
            found, more = await _some(session, wanted.order_by(changes.c.revision), func.length(changes.c.event))
        return [pb.WatchModelsResponse.FromString(row.event) for row in found], more


async def _some(
    session: AsyncSession, wanted: Select[Any], size: ColumnElement[int]
) -> tuple[Sequence[Row[Any]], bool]:
    """The first rows, as many as are read at once, and whether there may be more."""
    sizes = (await session.scalars(wanted.with_only_columns(size).limit(BATCH))).all()
    fitting = pages.that_fit(sizes)
    found = (await session.execute(wanted.limit(fitting))).all()
    return found, bool(found) and (fitting < len(sizes) or fitting == BATCH)


def _check_kept(after: int, oldest: int, last: int) -> None:
    if oldest <= after <= last:
        return
    why = "is not kept any more" if after < oldest else f"has not been: the last one is {last}"
    raise DomainError(
        Reason.REVISION_GONE,
        f"revision {after} {why}",
        field="from_revision",
        hint="Begin again with from_revision 0.",
        metadata={"oldest": str(oldest), "last": str(last)},
    )
