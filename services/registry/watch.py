"""The stream of changes: the present first when it is asked for, then every change in order."""

from __future__ import annotations

from collections.abc import AsyncIterator

from bmase.reasons import Reason
from bmase.registry.v1 import registry_pb2 as pb
from sqlalchemy import select

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
            events = await self._changes(after, model)
            for event in events:
                yield event
                after = event.revision
            if len(events) < BATCH:
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
            wanted = wanted.where(versions.c.delete_time.is_(None)).order_by(versions.c.number).limit(BATCH)
            async with self._database.read() as session:
                found = (await session.execute(wanted)).all()
                messages = await rows.version_messages(session, found)
            for message in messages:
                yield message
            if len(found) < BATCH:
                return
            last = found[-1].number

    async def _changes(self, after: int, model: str | None) -> list[pb.WatchModelsResponse]:
        changes = tables.changes
        wanted = select(changes.c.event).where(changes.c.revision > after)
        if model:
            wanted = wanted.where(changes.c.model == model)
        async with self._database.read() as session:
            found = await session.scalars(wanted.order_by(changes.c.revision).limit(BATCH))
            return [pb.WatchModelsResponse.FromString(raw) for raw in found]


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
