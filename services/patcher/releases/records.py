"""Releases and their audit trail in SQL: a decision and its line are one transaction."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any, TypeVar

import structlog
from bmase.reasons import Reason
from pydantic import TypeAdapter, ValidationError
from sqlalchemy import and_, delete, insert, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from services.kit.database import Database, is_duplicate
from services.kit.database.fences import leading_fence, raise_fence
from services.kit.errors import DomainError
from services.patcher.records import DUPLICATE_ATTEMPTS, LEADER, REQUESTS_KEPT
from services.patcher.releases import tables as t
from services.patcher.releases.state import Event, Kind, Move, Release, moved
from services.patcher.tables import fences

log = structlog.get_logger(__name__)

LONGEST_MESSAGE = 4000  # a backend's own words may be a whole traceback

_DOCUMENTS = TypeAdapter(Release)
Row = Mapping[str, Any]
Result = TypeVar("Result")
# From the release as it is kept to what is to be kept; may be run again after a deadlock, so it must be pure.
Decide = Callable[[Release], Sequence[Move]]


class ReleaseRecords:
    """All access to the tables of releases."""

    def __init__(self, database: Database) -> None:
        self._db = database
        self._unreadable: set[str] = set()

    async def fence(self) -> int:
        """The highest fence that anything of the patcher was written under."""
        async with self._db.read() as session:
            return await leading_fence(session, fences, LEADER)

    async def unfinished(self) -> list[Release]:
        """Everything that something is left to do about, oldest first: one query, however many there are."""
        columns = t.releases.c
        query = select(t.releases).where(columns.unfinished.is_(True)).order_by(columns.created, columns.id)
        return await self._read(query)

    async def get(self, release: str) -> Release:
        """Raises RELEASE_NOT_FOUND."""
        async with self._db.read() as session:
            row = (await session.execute(select(t.releases).where(t.releases.c.id == release))).first()
        if row is None:
            raise _unknown(release)
        return _release(dict(row._mapping))

    async def listed(self, model: str, active: bool, after: tuple[float, str] | None, size: int) -> list[Release]:
        """Latest first; `after` is the last one of the page before."""
        columns = t.releases.c
        query = select(t.releases).order_by(columns.created.desc(), columns.id.desc()).limit(size)
        if model:
            query = query.where(columns.model == model)
        if active:
            query = query.where(columns.active_model.is_not(None))
        if after is not None:
            same = and_(columns.created == after[0], columns.id < after[1])
            query = query.where(or_(columns.created < after[0], same))
        return await self._read(query)

    async def events(self, release: str, after: int, size: int) -> list[Event]:
        """The audit trail from the line after `after`."""
        columns = t.release_events.c
        query = select(t.release_events).where(columns.release_id == release, columns.number > after)
        async with self._db.read() as session:
            rows = await session.execute(query.order_by(columns.number).limit(size))
            return [_event(dict(row._mapping)) for row in rows]

    async def before(self, model: str, request: tuple[str, str]) -> Release | None:
        """The release that this request has made already. Raises RELEASE_ACTIVE, and REQUEST_REUSED."""
        async with self._db.read() as session:
            made = await _known_request(session, *request) if request[0] else ""
            if not made:
                await _check_free(session, model)
        return await self.get(made) if made else None

    async def create(self, release: Release, request: tuple[str, str], what: str) -> Release:
        """Keeps a new release with its first line; `request` is its id (or empty) and fingerprint.

        Repeated, it gets the first one. Raises RELEASE_ACTIVE, and REQUEST_REUSED.
        """

        async def work(session: AsyncSession) -> Release:
            if request[0] and (made := await _made_before(session, *request, release.id)):
                return await _locked(session, made)
            await _check_free(session, release.model)
            event = Event(Kind.CREATED, what, actor=release.created_by)
            move = moved(release, event, release.created)
            kept = replace(move.release, revision=1)
            await session.execute(insert(t.releases).values(**_row(kept)))
            await _write_events(session, kept.id, [move])
            return kept

        return await self._run(work)

    async def change(self, release: str, decide: Decide, fence: int = 0) -> tuple[Release, list[Move]]:
        """Runs `decide` on the kept release and keeps the end of its moves with their lines, all in one transaction.

        With a fence, NOT_LEADER when a later leader has written. `decide` may raise to change nothing.
        """

        async def work(session: AsyncSession) -> tuple[Release, list[Move]]:
            if fence:
                await raise_fence(session, fences, LEADER, fence)
            kept = await _locked(session, release)
            moves = list(decide(kept))
            if not moves:
                return kept, []
            return await _save(session, kept, moves), moves

        return await self._run(work)

    async def lead(self, fence: int, who: str) -> list[Release]:
        """Writes the new leader into the trail of everything unfinished: from here on, earlier ones are refused."""

        async def work(session: AsyncSession) -> list[Release]:
            await raise_fence(session, fences, LEADER, fence)
            query = select(t.releases).where(t.releases.c.unfinished.is_(True)).with_for_update()
            found = self._readable([dict(row._mapping) for row in await session.execute(query)])
            return [await _greet(session, release, fence, who) for release in found]

        return await self._run(work)

    async def _read(self, query: Any) -> list[Release]:
        async with self._db.read() as session:
            return self._readable([dict(row._mapping) for row in await session.execute(query)])

    def _readable(self, rows: Sequence[Row]) -> list[Release]:
        """Without what another version of the code has written: that is left as it is, and stops no other release."""
        found = []
        for row in rows:
            try:
                found.append(_release(row))
            except DomainError as error:
                if row["id"] not in self._unreadable:
                    log.error("release_unreadable", release=row["id"], message=error.message)
                self._unreadable.add(row["id"])
        return found

    async def _run(self, work: Callable[[AsyncSession], Awaitable[Result]]) -> Result:
        """Once more when another transaction made the same row meanwhile: now it sees it."""
        for _ in range(DUPLICATE_ATTEMPTS - 1):
            try:
                return await self._db.run(work)
            except IntegrityError as error:
                if not is_duplicate(error):
                    raise
        return await self._db.run(work)


async def _greet(session: AsyncSession, release: Release, fence: int, who: str) -> Release:
    """A line of its own that does not replace the reason for which the release is where it is."""
    event = Event(Kind.LEADER, f"{who} leads from here, fence {fence}", actor=who)
    move = moved(release, event, time.time())
    kept = replace(move.release, reason=release.reason, message=release.message)
    return await _save(session, release, [Move(kept, move.event)])


async def _save(session: AsyncSession, before: Release, moves: Sequence[Move]) -> Release:
    after = replace(moves[-1].release, revision=before.revision + 1)
    row = _row(after)
    await session.execute(update(t.releases).where(t.releases.c.id == after.id).values(**row))
    await _write_events(session, after.id, moves)
    return after


async def _write_events(session: AsyncSession, release: str, moves: Sequence[Move]) -> None:
    for move in moves:
        if move.event is not None:
            event = move.event
            row = {**asdict(event), "release_id": release, "kind": event.kind.value}
            row |= {"reason": str(event.reason)[: t.LONG_WORD], "message": event.message[:LONGEST_MESSAGE]}
            await session.execute(insert(t.release_events).values(**row))


async def _locked(session: AsyncSession, release: str) -> Release:
    query = select(t.releases).where(t.releases.c.id == release).with_for_update()
    row = (await session.execute(query)).first()
    if row is None:
        raise _unknown(release)
    return _release(dict(row._mapping))


async def _check_free(session: AsyncSession, model: str) -> None:
    held = await session.scalar(select(t.releases.c.id).where(t.releases.c.active_model == model))
    if held is not None:
        raise DomainError(
            Reason.RELEASE_ACTIVE,
            f"the release {held} moves the traffic of {model}",
            hint=f"Wait until it has ended, or end it: bmase release rollback {held}.",
            metadata={"release": f"releases/{held}", "model": model},
        )


async def _made_before(session: AsyncSession, request_id: str, fingerprint: str, release: str) -> str:
    columns = t.release_requests.c
    await session.execute(delete(t.release_requests).where(columns.created < time.time() - REQUESTS_KEPT))
    made = await _known_request(session, request_id, fingerprint)
    if not made:
        row = {"id": request_id, "fingerprint": fingerprint, "release_id": release, "created": time.time()}
        await session.execute(insert(t.release_requests).values(**row))
    return made


async def _known_request(session: AsyncSession, request_id: str, fingerprint: str) -> str:
    """The release that the request has made; empty when it is new."""
    query = select(t.release_requests).where(t.release_requests.c.id == request_id)
    known = (await session.execute(query)).first()
    if known is None:
        return ""
    if known.fingerprint != fingerprint:
        message = f"the request_id {request_id} was used for another release; use a new one for each request"
        raise DomainError(Reason.REQUEST_REUSED, message, field="request_id")
    return str(known.release_id)


def _row(release: Release) -> dict[str, Any]:
    """The evidence lies beside the document: it is the larger part, and nobody searches in it."""
    bare = replace(release, evidence=b"", message=release.message[:LONGEST_MESSAGE])
    return {
        "id": release.id,
        "model": release.model,
        "active_model": None if release.final else release.model,
        "unfinished": release.open,
        "created": release.created,
        "document": _DOCUMENTS.dump_json(bare).decode(),
        "evidence": release.evidence,
    }


def _release(row: Row) -> Release:
    try:
        document = _DOCUMENTS.validate_json(row["document"])
    except ValidationError as error:
        # Not "unknown": nobody is to take its route or its nodes for free.
        message = f"the release {row['id']} cannot be read; another version of the patcher may have written it"
        raise DomainError(Reason.INTERNAL, message) from error
    return replace(document, evidence=bytes(row["evidence"]))


def _event(row: Row) -> Event:
    known = {key: value for key, value in row.items() if key != "release_id"}
    return Event(**{**known, "kind": Kind(row["kind"]), "evidence": bytes(row["evidence"])})


def _unknown(release: str) -> DomainError:
    hint = "`bmase release list` shows all of them."
    return DomainError(Reason.RELEASE_NOT_FOUND, f"there is no release {release}", hint=hint)
