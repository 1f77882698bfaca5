"""Jobs in SQL: a change and what it is told as are one transaction, under a revision that grows with every change."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, TypeVar

import structlog
from bmase.reasons import Reason
from sqlalchemy import Select, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from services.kit import pages
from services.kit.database import Database, is_duplicate
from services.kit.database.fences import leading_fence, raise_fence
from services.kit.errors import DomainError
from services.kit.filters import Term, parse_filter
from services.trainer.jobs import requests as rq
from services.trainer.jobs import tables as t
from services.trainer.jobs.events import between
from services.trainer.jobs.journal import no_job, write
from services.trainer.jobs.listing import FIELDS, condition, order_of
from services.trainer.jobs.state import Job, from_json, to_json

log = structlog.get_logger(__name__)

LEADER = "trainer"
REQUESTS_KEPT = 86_400.0
DUPLICATE_ATTEMPTS = 3

Result = TypeVar("Result")
# From the job as it is kept to what is to be kept; may be run again after a deadlock, so it must be pure.
Change = Callable[[Job], Job]


class JobRecords:
    """All access to jobs; what they say is in `journal`."""

    def __init__(self, database: Database) -> None:
        self._db = database
        self._unreadable: set[str] = set()

    async def create(self, job: Job, request: tuple[str, str]) -> Job:
        """Keeps a new job; `request` is its id (or empty) and fingerprint.

        Repeated, it gets the first one. Raises REQUEST_REUSED.
        """

        async def work(session: AsyncSession) -> Job:
            # First of all, so that of two equal requests at once the second waits here, and then finds the first one's.
            revision = await _next_revision(session)
            if request[0] and (made := await _made_before(session, request, job.id)):
                return _job(await _row(session, made))
            await session.execute(insert(t.jobs).values(**_values(job), id=job.id, revision=revision, last_offset=0))
            if job.spec.labels:
                labels = [{"job": job.id, "name": k, "value": v} for k, v in job.spec.labels.items()]
                await session.execute(insert(t.job_labels), labels)
            await write(session, job.id, between(None, job, job.created))
            return job

        for _ in range(DUPLICATE_ATTEMPTS - 1):
            try:
                return await self._db.run(work)
            except IntegrityError as error:
                if not is_duplicate(error):
                    raise
        return await self._db.run(work)

    async def change(self, job: str, change: Change, fence: int = 0) -> Job:
        """Runs `change` on the job as it is kept and keeps what it returns, with its events, all in one transaction.

        With a fence, NOT_LEADER when a later leader has written. `change` may raise to change nothing.
        """

        async def work(session: AsyncSession) -> Job:
            if fence:
                await raise_fence(session, t.fences, LEADER, fence)
            revision = await _next_revision(session)
            before = _job(await _row(session, job))
            after = change(before)
            if after == before:
                return before
            row = _values(after) | {"revision": revision}
            await session.execute(update(t.jobs).where(t.jobs.c.id == job).values(**row))
            await write(session, job, between(before, after, time.time()))
            return after

        return await self._db.run(work)

    async def decided(self, before: Job, after: Job, fence: int) -> bool:
        """Keeps a decision if the job still is as it was when it was decided; else the next round decides anew."""
        kept = await self.change(after.id, lambda job: after if job == before else job, fence)
        return kept == after

    async def get(self, job: str) -> Job:
        """Raises JOB_NOT_FOUND."""
        async with self._db.read() as session:
            return _job(await _row(session, job))

    async def unfinished(self) -> list[Job]:
        """All that have not ended, oldest first: one query, however many there are."""
        query = select(t.jobs).where(t.jobs.c.unfinished.is_(True)).order_by(t.jobs.c.created, t.jobs.c.id)
        async with self._db.read() as session:
            return [job for _, job in self._readable(await _rows(session, query))]

    async def listed(self, asked: rq.List) -> tuple[list[Job], str]:
        """One page and the token of the next. Raises InvalidArgument, PAGE_TOKEN_INVALID."""
        terms, order = parse_filter(asked.filter, FIELDS), order_of(asked.order_by)
        identity = pages.identity("jobs", asked.filter, asked.order_by)
        last = pages.after(asked.page_token, identity, order.types)
        query = select(t.jobs).where(*[condition(term) for term in terms])
        query = query if last is None else query.where(order.beyond(last))
        async with self._db.read() as session:
            found, more = await _that_fit(session, query.order_by(*order.sorting()), asked.page_size)
        end = tuple(found[-1][name] for name in order.columns) if more else ()
        return [job for _, job in self._readable(found)], pages.token(identity, end) if more else ""

    async def changed(self, after: int, terms: Collection[Term], size: int) -> list[tuple[int, Job]]:
        """Jobs that were changed after the revision, each as it is now with the revision of its last change."""
        query = select(t.jobs).where(t.jobs.c.revision > after, *[condition(term) for term in terms])
        async with self._db.read() as session:
            found, _ = await _that_fit(session, query.order_by(t.jobs.c.revision), size)
        return self._readable(found)

    async def revision(self) -> int:
        """Of the latest change of any job."""
        async with self._db.read() as session:
            return int(await session.scalar(select(t.job_revisions.c.last)) or 0)

    async def fence(self) -> int:
        """The highest fence that was written under; 0: none."""
        async with self._db.read() as session:
            return await leading_fence(session, t.fences, LEADER)

    async def lead(self, fence: int) -> None:
        """From here on, earlier leaders are refused."""
        await self._db.run(lambda session: raise_fence(session, t.fences, LEADER, fence))

    def _readable(self, rows: Sequence[Mapping[str, Any]]) -> list[tuple[int, Job]]:
        """Without what another version of the code has written: that is left as it is, and stops no other job."""
        found = []
        for row in rows:
            try:
                found.append((int(row["revision"]), _job(row)))
            except DomainError as error:
                if row["id"] not in self._unreadable:
                    log.error("job_unreadable", job=row["id"], message=error.message)
                self._unreadable.add(row["id"])
        return found


async def _rows(session: AsyncSession, query: Select[Any]) -> list[Mapping[str, Any]]:
    return [dict(row._mapping) for row in await session.execute(query)]


async def _that_fit(session: AsyncSession, query: Select[Any], size: int) -> tuple[list[Mapping[str, Any]], bool]:
    """At most `size` rows, fewer when they are large, and whether there are more."""
    # Sizes first: what does not fit is not even read.
    lengths = query.with_only_columns(func.length(t.jobs.c.document)).limit(size + 1)
    sizes = [int(length) for length in await session.scalars(lengths)]
    fitting = pages.that_fit(sizes[:size])
    found = await _rows(session, query.limit(fitting)) if fitting else []
    return found, fitting < len(sizes)


async def _row(session: AsyncSession, job: str) -> Mapping[str, Any]:
    rows = await _rows(session, select(t.jobs).where(t.jobs.c.id == job))
    if not rows:
        raise no_job(job)
    return rows[0]


async def _next_revision(session: AsyncSession) -> int:
    """Written before it is read: the statement takes the lock that makes changes of jobs come one after the other."""
    await session.execute(update(t.job_revisions).values(last=t.job_revisions.c.last + 1))
    return int(await session.scalar(select(t.job_revisions.c.last)) or 0)


async def _made_before(session: AsyncSession, request: tuple[str, str], job: str) -> str:
    """The job that the request has made; empty when it is new, and from now on it has made this one."""
    columns, (id, fingerprint) = t.job_requests.c, request
    await session.execute(delete(t.job_requests).where(columns.created < time.time() - REQUESTS_KEPT))
    known = (await session.execute(select(t.job_requests).where(columns.id == id))).first()
    if known is None:
        row = {"id": id, "fingerprint": fingerprint, "job": job, "created": time.time()}
        await session.execute(insert(t.job_requests).values(**row))
        return ""
    if known.fingerprint != fingerprint:
        message = f"the request_id {id} was used for another job; use a new one for each request"
        raise DomainError(Reason.REQUEST_REUSED, message, field="request_id")
    return str(known.job)


def _values(job: Job) -> dict[str, Any]:
    return {
        "model": job.model,
        "owner": job.owner,
        "recipe": job.spec.recipe,
        "priority": job.spec.priority,
        "phase": job.phase.value,
        "cause": job.cause.value,
        "unfinished": not job.final,
        "created": round(job.created * 1_000_000),
        "document": to_json(job),
    }


def _job(row: Mapping[str, Any]) -> Job:
    return from_json(str(row["id"]), str(row["document"]))
