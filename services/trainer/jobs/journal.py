"""What jobs did and said, in SQL: one numbered journal for each job, and its metrics as series beside it."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import partial

from bmase.reasons import Reason
from sqlalchemy import ColumnElement, and_, delete, func, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from services.kit import pages
from services.kit.database import Database
from services.kit.errors import DomainError
from services.trainer.jobs import requests as rq
from services.trainer.jobs import tables as t
from services.trainer.jobs.events import CHATTER, Event, Kind, Metrics, body_from, body_json

KEPT = 100_000  # offsets for which log lines, progress and metrics are kept
IN_ONE_QUERY = 500  # values in a list, well below what databases take
TRIM_EVERY = 1_000  # offsets between two looks at what is too old
FORGOTTEN_AT_ONCE = 5_000  # offsets


@dataclass(frozen=True, slots=True)
class Point:
    """One value of one series."""

    metric: str
    step: int
    value: float
    time: float


class JobJournal:
    """Written by whoever runs the job, in batches: each is one transaction."""

    def __init__(self, database: Database, kept: int = KEPT) -> None:
        self._db = database
        self._kept = kept

    async def append(self, job: str, events: Sequence[Event]) -> int:
        """Keeps the events in order; the offset of the last one of the job. Raises JOB_NOT_FOUND."""

        async def work(session: AsyncSession) -> int:
            last = await write(session, job, events)
            if last // TRIM_EVERY > (last - len(events)) // TRIM_EVERY:
                await _trim(session, job, last - self._kept)
            return last

        return await self._db.run(work)

    async def forget(self, before: float) -> None:
        """Log lines, progress and reported values of jobs that ended earlier; states and series stay."""
        last = (0, "")
        while found := await self._ended(before, last):
            for created, job in found:
                last = (created, job)
                while await self._db.run(partial(_forget_some, job=job)):
                    pass

    async def _ended(self, before: float, last: tuple[int, str]) -> list[tuple[int, str]]:
        """Some of the jobs whose last event is older, those after `last`."""
        j, e = t.jobs.c, t.job_events.c
        beyond = or_(j.created > last[0], and_(j.created == last[0], j.id > last[1]))
        end = and_(e.job == j.id, e.number == j.last_offset, e.time < before)
        query = select(j.created, j.id).join(t.job_events, end)
        query = query.where(j.created < round(before * 1_000_000), j.unfinished.is_(False), beyond)
        async with self._db.read() as session:
            rows = await session.execute(query.order_by(j.created, j.id).limit(IN_ONE_QUERY))
        return [(int(row.created), str(row.id)) for row in rows]

    async def read(self, job: str, after: int, kinds: Collection[Kind], size: int) -> list[Event]:
        """At most `size` events after the offset, fewer when they are large."""
        columns = t.job_events.c
        query = select(t.job_events).where(columns.job == job, columns.number > after)
        if len(set(kinds)) < len(Kind):
            query = query.where(columns.kind.in_(sorted(kind.value for kind in kinds)))
        async with self._db.read() as session:
            rows = (await session.execute(query.order_by(columns.number).limit(size))).all()
        fitting = pages.that_fit([len(row.body.encode()) for row in rows])
        return [Event(r.time, r.attempt, body_from(Kind(r.kind), r.body), r.number) for r in rows[:fitting]]

    async def last_offset(self, job: str) -> int:
        """Of the last event of the job; 0: none. Raises JOB_NOT_FOUND."""
        async with self._db.read() as session:
            return await _last_offset(session, job)

    async def metrics(self, asked: rq.ListMetrics) -> tuple[list[Point], str]:
        """One page of a series by step, or the last point of each series by name; and the token of the next page."""
        m, identity = t.job_metrics.c, pages.identity("metrics", asked.name, asked.metric)
        query, key = select(t.job_metrics).where(m.job == asked.name), m.step if asked.metric else m.metric
        if asked.metric:
            query = query.where(m.metric == asked.metric)
        else:
            ends = select(m.metric, func.max(m.step).label("step")).where(m.job == asked.name).group_by(m.metric)
            last = ends.subquery()
            query = query.join(last, and_(m.metric == last.c.metric, m.step == last.c.step))
        if begin := pages.after(asked.page_token, identity, (int if asked.metric else str,)):
            query = query.where(key > begin[0])
        async with self._db.read() as session:
            await _last_offset(session, asked.name)
            rows = (await session.execute(query.order_by(key).limit(asked.page_size + 1))).all()
        points = [Point(row.metric, row.step, row.value, row.time) for row in rows[: asked.page_size]]
        if len(rows) <= asked.page_size:
            return points, ""
        return points, pages.token(identity, (points[-1].step if asked.metric else points[-1].metric,))


def no_job(job: str) -> DomainError:
    """JOB_NOT_FOUND."""
    return DomainError(Reason.JOB_NOT_FOUND, f"there is no job {job}", hint="List the jobs to find its name.")


async def write(session: AsyncSession, job: str, events: Sequence[Event]) -> int:
    """Numbers the events and keeps them in a transaction that others may have begun; the last offset of the job."""
    columns = t.jobs.c
    # Written before it is read: of two writers the second waits here, and numbers go up in the order of transactions.
    await session.execute(update(t.jobs).where(columns.id == job).values(last_offset=columns.last_offset + len(events)))
    last = await _last_offset(session, job)
    rows = [
        {"job": job, "number": number, "time": event.time, "attempt": event.attempt}
        | {"kind": event.kind.value, "body": body_json(event)}
        for number, event in enumerate(events, last - len(events) + 1)
    ]
    if rows:
        await session.execute(insert(t.job_events), rows)
    await _write_points(session, job, events)
    return last


async def _write_points(session: AsyncSession, job: str, events: Sequence[Event]) -> None:
    """The later value of a step replaces the earlier one; what is not finite is in the journal only."""
    points: dict[tuple[str, int], Point] = {}
    for event in events:
        if isinstance(event.body, Metrics):
            step = event.body.step
            finite = {metric: value for metric, value in event.body.values.items() if math.isfinite(value)}
            points |= {(m, step): Point(m, step, value, event.time) for m, value in finite.items()}
    columns = t.job_metrics.c
    for metric in sorted({metric for metric, _ in points}):
        steps = sorted(step for name, step in points if name == metric)
        for batch in (steps[at : at + IN_ONE_QUERY] for at in range(0, len(steps), IN_ONE_QUERY)):
            again = and_(columns.job == job, columns.metric == metric, columns.step.in_(batch))
            await session.execute(delete(t.job_metrics).where(again))
    if points:
        rows = [
            {"job": job, "metric": point.metric, "step": point.step, "value": point.value, "time": point.time}
            for point in points.values()
        ]
        await session.execute(insert(t.job_metrics), rows)


async def _last_offset(session: AsyncSession, job: str) -> int:
    last = await session.scalar(select(t.jobs.c.last_offset).where(t.jobs.c.id == job))
    if last is None:
        raise no_job(job)
    return int(last)


async def _trim(session: AsyncSession, job: str, before: int) -> None:
    await session.execute(delete(t.job_events).where(_chatter(job), t.job_events.c.number <= before))


async def _forget_some(session: AsyncSession, job: str) -> bool:
    """Whether there was any. A part at a time: jobs that run now want to write as well."""
    number = t.job_events.c.number
    first = await session.scalar(select(func.min(number)).where(_chatter(job)))
    if first is None:
        return False
    await session.execute(delete(t.job_events).where(_chatter(job), number < first + FORGOTTEN_AT_ONCE))
    return True


def _chatter(job: str) -> ColumnElement[bool]:
    columns = t.job_events.c
    return and_(columns.job == job, columns.kind.in_(sorted(kind.value for kind in CHATTER)))
