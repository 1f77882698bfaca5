"""Schedules in SQL: a decision is one transaction with the pipelines that it starts and stops."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import structlog
from bmase.reasons import Reason
from sqlalchemy import ColumnElement, and_, delete, insert, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from services.kit.database import Database, is_duplicate
from services.kit.database.fences import raise_fence
from services.kit.errors import DomainError
from services.kit.filters import Fields, Kind, Term
from services.trainer.jobs.state import CONTROLLER
from services.trainer.jobs.tables import fences
from services.trainer.pipelines import tables as pipelines
from services.trainer.pipelines import transitions as pipeline
from services.trainer.pipelines.listing import compared
from services.trainer.pipelines.records import change_in, fitting, insert_new
from services.trainer.schedules import tables as t
from services.trainer.schedules import transitions as tr
from services.trainer.schedules.decide import Decision
from services.trainer.schedules.state import Fire, Outcome, Schedule, from_json, to_json
from services.trainer.schedules.triggers import manual_key

log = structlog.get_logger(__name__)

FIRES_KEPT = 1000  # of each schedule; its pipelines stay

FIELDS: Fields = {"name": Kind.TEXT, "model": Kind.TEXT, "paused": {"true": 1, "false": 0}}  # of filters
FireOrder = tuple[float, float, str]  # time, due, key

# From the schedule as it is kept to what is to be kept; may be run again after a deadlock, so it must be pure.
Change = Callable[[Schedule], Schedule]


class ScheduleRecords:
    """All access to schedules and what they have fired."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def create(self, schedule: Schedule) -> Schedule:
        """Keeps a new one. Repeated with the same wish it is the first one; SCHEDULE_EXISTS with another wish."""

        async def work(session: AsyncSession) -> Schedule:
            known = await _find(session, schedule.id)
            if known is None:
                row = {"id": schedule.id, "touched": 0, **_values(schedule)}
                await session.execute(insert(t.schedules).values(**row))
                return schedule
            found = _schedule(known)
            if found.spec != schedule.spec:
                message = f"the schedule {schedule.id} is there already, with another wish"
                hint = "Choose another name, or change the one that is there."
                raise DomainError(Reason.SCHEDULE_EXISTS, message, hint=hint)
            return found

        try:
            return await self._db.run(work)
        except IntegrityError as error:  # somebody else has just made it
            if not is_duplicate(error):
                raise
            return await self._db.run(work)

    async def change(self, schedule: str, change: Change) -> Schedule:
        """Keeps what `change` makes of it; it may raise to change nothing. Raises SCHEDULE_NOT_FOUND."""
        return await self._db.run(lambda session: _change(session, schedule, change))

    async def ask(self, schedule: str, request_id: str, actor: str, now: float, message: str = "") -> Schedule:
        """A pipeline now; the same request, however much later, is the same one."""

        async def work(session: AsyncSession) -> Schedule:
            columns, key = t.schedule_fires.c, manual_key(request_id)
            await _lock(session, schedule)
            query = select(columns.key).where(columns.schedule == schedule, columns.key == key)
            if await session.scalar(query):
                return _schedule(await _row(session, schedule))
            return await _change(session, schedule, lambda s: tr.ask(s, request_id, actor, now, message))

        return await self._db.run(work)

    async def decided(self, decision: Decision, fence: int) -> bool:
        """Keeps the decision if the schedule still is as it was when it was made; else the next round decides anew."""
        before, after = decision.before, decision.after

        async def work(session: AsyncSession) -> bool:
            await raise_fence(session, fences, pipelines.LEADER, fence)
            await _lock(session, before.id)
            if _schedule(await _row(session, before.id)) != before:
                return False
            await session.execute(update(t.schedules).where(t.schedules.c.id == before.id).values(**_values(after)))
            for started in decision.starts:
                await insert_new(session, started)
            for stopped in decision.stops:
                words = f"a later fire of {before.name} takes its place"
                now = max(fire.time for fire in decision.fires)
                await change_in(session, stopped, lambda p: pipeline.stop(p, now, CONTROLLER, words))  # noqa: B023
            await _tell(session, before.id, decision.fires)
            return True

        return await self._db.run(work)

    async def delete(self, schedule: str, check: Callable[[Schedule], None] = lambda _: None) -> None:
        """With its fires; its pipelines stay and go on. Raises SCHEDULE_NOT_FOUND, and what `check` does."""

        async def work(session: AsyncSession) -> None:
            await _lock(session, schedule)
            check(_schedule(await _row(session, schedule)))
            await session.execute(delete(t.schedules).where(t.schedules.c.id == schedule))

        await self._db.run(work)

    async def get(self, schedule: str) -> Schedule:
        """Raises SCHEDULE_NOT_FOUND."""
        async with self._db.read() as session:
            return _schedule(await _row(session, schedule))

    async def look(self) -> tuple[list[Schedule], dict[str, tuple[str, ...]]]:
        """All schedules, and their pipelines that have not ended, as `observation.Seen` wants them."""
        async with self._db.read() as session:
            rows = (await session.execute(select(t.schedules).order_by(t.schedules.c.id))).all()
            running = await _running(session)
        return self._readable([dict(row._mapping) for row in rows]), running

    async def running(self) -> dict[str, tuple[str, ...]]:
        """schedule -> its pipelines that have not ended."""
        async with self._db.read() as session:
            return await _running(session)

    async def listed(self, terms: Sequence[Term], size: int, after: str = "") -> tuple[list[Schedule], str]:
        """One page by name after the one of that name, and the name of its last when more follow."""
        query = select(t.schedules).where(t.schedules.c.id > after, *[_condition(term) for term in terms])
        async with self._db.read() as session:
            rows, more = await fitting(session, query.order_by(t.schedules.c.id), t.schedules.c.document, size)
        return self._readable(rows), str(rows[-1]["id"]) if more else ""

    async def fires(self, schedule: str, count: int = 100, last: FireOrder | None = None) -> list[Fire]:
        """The latest first, after one with these order values. Raises SCHEDULE_NOT_FOUND."""
        columns = t.schedule_fires.c
        query = select(t.schedule_fires).where(columns.schedule == schedule)
        if last is not None:
            earlier = and_(columns.time == last[0], columns.due < last[1])
            same = and_(columns.time == last[0], columns.due == last[1], columns.key > last[2])
            query = query.where(or_(columns.time < last[0], earlier, same))
        order = (columns.time.desc(), columns.due.desc(), columns.key)
        async with self._db.read() as session:
            await _row(session, schedule)
            rows = await session.execute(query.order_by(*order).limit(count))
            return [Fire(r.key, r.due, r.time, Outcome(r.outcome), r.sentence, r.pipeline) for r in rows]

    def _readable(self, rows: Sequence[Mapping[str, Any]]) -> list[Schedule]:
        found = []
        for row in rows:
            try:
                found.append(_schedule(row))
            except DomainError as error:  # left as it is, and in nobody's way
                log.error("schedule_unreadable", schedule=row["id"], message=error.message)
        return found


async def _running(session: AsyncSession) -> dict[str, tuple[str, ...]]:
    columns = pipelines.pipelines.c
    query = select(columns.schedule, columns.id).where(columns.unfinished.is_(True), columns.schedule != "")
    running: dict[str, tuple[str, ...]] = {}
    for schedule, id in (await session.execute(query.order_by(columns.created, columns.id))).all():
        running[schedule] = (*running.get(schedule, ()), id)
    return running


def _condition(term: Term) -> ColumnElement[bool]:
    if term.field == "paused":
        return t.schedules.c.paused.is_(bool(term.value) is (term.operator == "="))
    return compared(term, t.schedules.c.id if term.field == "name" else t.schedules.c.model)


async def _change(session: AsyncSession, schedule: str, change: Change) -> Schedule:
    await _lock(session, schedule)
    before = _schedule(await _row(session, schedule))
    after = change(before)
    if after != before:
        await session.execute(update(t.schedules).where(t.schedules.c.id == schedule).values(**_values(after)))
    return after


async def _lock(session: AsyncSession, schedule: str) -> None:
    """Written before it is read: of two changes the second waits here, and then reads what the first has kept."""
    columns = t.schedules.c
    await session.execute(update(t.schedules).where(columns.id == schedule).values(touched=columns.touched + 1))


async def _tell(session: AsyncSession, schedule: str, fires: tuple[Fire, ...]) -> None:
    columns = t.schedule_fires.c
    # Of a key that was queued and is started now, the later line; within one round too.
    for fire in {fire.key: fire for fire in fires}.values():
        await session.execute(delete(t.schedule_fires).where(columns.schedule == schedule, columns.key == fire.key))
        row = {"key": fire.key, "due": fire.due, "time": fire.time, "outcome": fire.outcome.value}
        row |= {"schedule": schedule, "pipeline": fire.pipeline, "sentence": fire.sentence}
        await session.execute(insert(t.schedule_fires).values(**row))
    if fires:
        newest = select(columns.time).where(columns.schedule == schedule).order_by(columns.time.desc())
        oldest = await session.scalar(newest.offset(FIRES_KEPT).limit(1))
        if oldest is not None:
            await session.execute(delete(t.schedule_fires).where(columns.schedule == schedule, columns.time <= oldest))


async def _find(session: AsyncSession, schedule: str) -> Mapping[str, Any] | None:
    row = (await session.execute(select(t.schedules).where(t.schedules.c.id == schedule))).first()
    return None if row is None else dict(row._mapping)


async def _row(session: AsyncSession, schedule: str) -> Mapping[str, Any]:
    row = await _find(session, schedule)
    if row is None:
        hint = "List the schedules to find its name."
        raise DomainError(Reason.SCHEDULE_NOT_FOUND, f"there is no schedule {schedule}", hint=hint)
    return row


def _values(schedule: Schedule) -> dict[str, Any]:
    return {"model": schedule.model, "paused": schedule.paused, "document": to_json(schedule)}


def _schedule(row: Mapping[str, Any]) -> Schedule:
    return from_json(str(row["id"]), str(row["document"]))
