"""Garbage collection: removes what nothing refers to and nobody has asked for lately.

In this order, each step in short transactions of its own: old answers and old changes; deleted models and versions that
are past their time; uploads left behind; artefacts of no version; spare blobs. A crash between steps leaves nothing but
more garbage, and what cannot be removed keeps nothing else from going. An artefact goes by a statement that looks for
references while it holds the artefact's row, and the foreign key of `version_files` would refuse it otherwise: a
version that is being made meanwhile either keeps it or is told that it is gone.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import structlog
from sqlalchemy import delete, exists, func, select, update
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession

from services.kit.database import Database
from services.kit.decode import ModelRef, VersionRef
from services.kit.errors import DomainError
from services.registry import moments, tables
from services.registry.artefacts import Artefacts
from services.registry.journal import Journal, Turn
from services.registry.uploads import Uploads

log = structlog.get_logger(__name__)

BATCH = 200
MAX_NAMES = 1000
# A blob that is being put stands among the spare ones; no put takes this long.
PUT_SECONDS = 6 * 3600
# One blob that cannot be removed is that blob's trouble, so many one after the other are the store's.
MAX_FAILURES = 5


@dataclass
class Collected:
    """What was, or would be, removed."""

    artefacts: int = 0
    bytes: int = 0
    versions: int = 0
    models: int = 0
    uploads: int = 0
    names: list[str] = field(default_factory=list)

    def named(self, name: str) -> None:
        if len(self.names) < MAX_NAMES:
            self.names.append(name)


@dataclass(frozen=True, slots=True)
class Ages:
    """How old things must be to go, in seconds."""

    deleted: float = 7 * 86_400
    artefact: float = 86_400
    upload: float = 7 * 86_400
    answer: float = 7 * 86_400
    change: float = 7 * 86_400

    @classmethod
    def all(cls, seconds: float, usual: Ages) -> Ages:
        """One age for all that can be seen; what is only remembered keeps its time."""
        return cls(seconds, seconds, seconds, usual.answer, usual.change)


class Garbage:
    """CollectGarbage, and the same from time to time by itself."""

    def __init__(self, database: Database, journal: Journal, artefacts: Artefacts, uploads: Uploads) -> None:
        self._database = database
        self._journal = journal
        self._artefacts = artefacts
        self._uploads = uploads

    async def run(self, ages: Ages, interval_seconds: float) -> None:
        """Collects from time to time, as long as the service runs; trouble is logged and the next time tried again."""
        while True:
            await asyncio.sleep(interval_seconds)
            try:
                found = await self.collect(ages, dry_run=False)
            except DomainError as error:
                log.warning("garbage.not_collected", reason=error.reason.value, message=error.message)
                continue
            except (OSError, SQLAlchemyError):  # a defect of ours at worst: no reason to end the calls of others
                log.exception("garbage.not_collected")
                continue
            log.info("garbage.collected", artefacts=found.artefacts, bytes=found.bytes, versions=found.versions)

    async def collect(self, ages: Ages, *, dry_run: bool) -> Collected:
        """Everything that is older than `ages`. A dry run does not see what would become free by its own removals."""
        found = Collected()
        if not dry_run:
            await self._old_rows(ages)
        await self._catalogue(ages, found, dry_run)
        for upload_id in await self._uploads.give_up(ages.upload, dry_run=dry_run):
            found.uploads += 1
            found.named(f"upload {upload_id}")
        await self._unused(ages, found, dry_run)
        if not dry_run:
            await self._spare_blobs()
        return found

    # --- models and versions ---

    async def _catalogue(self, ages: Ages, found: Collected, dry_run: bool) -> None:
        models, versions = tables.models, tables.versions
        due = moments.before(ages.deleted)
        async with self._database.read() as session:
            names = list(await session.scalars(select(models.c.name).where(models.c.delete_time < due)))
            alone = select(versions.c.model, versions.c.number)
            alone = alone.where(versions.c.delete_time < due, versions.c.model.not_in(names))
            refs = [VersionRef(row.model, row.number) for row in await session.execute(alone)]
            inside = select(func.count()).select_from(versions).where(versions.c.model.in_(names))
            found.versions += int(await session.scalar(inside) or 0)
        for name in names:
            if dry_run or await self._journal.change(lambda turn, n=name: _purge_model(turn, n, due)):  # type: ignore[misc]
                found.models += 1
                found.named(str(ModelRef(name)))
        for ref in refs:
            if dry_run or await self._journal.change(lambda turn, r=ref: _purge_version(turn, r, due)):  # type: ignore[misc]
                found.versions += 1
                found.named(str(ref))

    # --- artefacts ---

    async def _unused(self, ages: Ages, found: Collected, dry_run: bool) -> None:
        due = moments.before(ages.artefact)
        async for digest, size in self._candidates(due):
            if dry_run or await self._take(digest, due):
                found.artefacts += 1
                found.bytes += size
                found.named(digest)

    async def _candidates(self, due: int) -> AsyncIterator[tuple[str, int]]:
        artefacts, last = tables.artefacts, ""
        unused = ~exists().where(tables.version_files.c.digest == artefacts.c.digest)
        while True:
            wanted = select(artefacts.c.digest, artefacts.c.size).where(artefacts.c.digest > last)
            wanted = wanted.where(artefacts.c.touch_time < due, unused).order_by(artefacts.c.digest).limit(BATCH)
            async with self._database.read() as session:
                found = (await session.execute(wanted)).all()
            for row in found:
                yield row.digest, row.size
            if len(found) < BATCH:
                return
            last = found[-1].digest

    async def _take(self, digest: str, due: int) -> bool:
        """Removes one artefact unless it is wanted again; its blob is spare from then on."""
        artefacts, files = tables.artefacts, tables.version_files

        async def work(session: AsyncSession) -> bool:
            mine = select(artefacts.c.blob_key).where(artefacts.c.digest == digest, artefacts.c.touch_time < due)
            key = await session.scalar(mine.with_for_update())
            if key is None or await session.scalar(select(files.c.path).where(files.c.digest == digest).limit(1)):
                return False
            await session.execute(tables.spare_blobs.insert().values(blob_key=key, since=0))
            await session.execute(delete(artefacts).where(artefacts.c.digest == digest))
            return True

        try:
            return await self._database.run(work)
        except IntegrityError:  # a version got it in this moment
            return False

    async def _spare_blobs(self) -> None:
        """Removes blobs of artefacts that went, and blobs whose put was interrupted."""
        failures = 0
        async for key in self._due_blobs():
            try:
                await self._artefacts.discard(key)
            except DomainError as error:
                failures += 1
                log.warning("garbage.blob_stays", key=key, reason=error.reason.value, message=error.message)
                if failures == MAX_FAILURES:
                    raise
            else:
                failures = 0

    async def _due_blobs(self) -> AsyncIterator[str]:
        """`since` 0 marks a removal, which has nobody to wait for."""
        spare, last = tables.spare_blobs, ""
        while True:
            due = (spare.c.blob_key > last) & (spare.c.since < moments.before(PUT_SECONDS))
            wanted = select(spare.c.blob_key).where(due).order_by(spare.c.blob_key).limit(BATCH)
            async with self._database.read() as session:
                keys = list(await session.scalars(wanted))
            for key in keys:
                yield key
            if len(keys) < BATCH:
                return
            last = keys[-1]

    # --- rows that only grow ---

    async def _old_rows(self, ages: Ages) -> None:
        answers, changes, revisions = tables.answers, tables.changes, tables.revisions
        async with self._database.begin() as session:
            await session.execute(delete(answers).where(answers.c.create_time < moments.before(ages.answer)))

        async def trim(turn: Turn) -> None:
            old = changes.c.create_time < moments.before(ages.change)
            newest = await turn.session.scalar(select(func.max(changes.c.revision)).where(old))
            if newest is not None:
                await turn.session.execute(delete(changes).where(changes.c.revision <= newest))
                await turn.session.execute(update(revisions).values(oldest=newest))

        await self._journal.change(trim)


async def _purge_model(turn: Turn, name: str, due: int) -> bool:
    """Removes a model that is still deleted, but not the memory of its numbers."""
    table, retired = tables.models, tables.retired_models
    mine = (table.c.name == name) & (table.c.delete_time < due)
    number = await turn.session.scalar(select(table.c.next_number).where(mine))
    if number is None:
        return False
    await turn.session.execute(delete(retired).where(retired.c.name == name))
    await turn.session.execute(retired.insert().values(name=name, next_number=number))
    await turn.session.execute(delete(tables.aliases).where(tables.aliases.c.model == name))
    await turn.session.execute(delete(tables.versions).where(tables.versions.c.model == name))
    await turn.session.execute(delete(table).where(table.c.name == name))
    return True


async def _purge_version(turn: Turn, ref: VersionRef, due: int) -> bool:
    """Removes a version that is still deleted."""
    versions = tables.versions
    mine = (versions.c.model == ref.model) & (versions.c.number == ref.version) & (versions.c.delete_time < due)
    if await turn.session.scalar(select(versions.c.number).where(mine)) is None:
        return False
    await turn.session.execute(delete(versions).where(mine))
    return True
