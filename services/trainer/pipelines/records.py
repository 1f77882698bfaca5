"""Pipelines in SQL: a change and its lines in the history are one transaction."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import structlog
from bmase.reasons import Reason
from sqlalchemy import ColumnElement, Select, and_, func, insert, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from services.kit import pages
from services.kit.database import Database, is_duplicate
from services.kit.database.fences import leading_fence, raise_fence
from services.kit.errors import DomainError
from services.kit.filters import Term
from services.trainer.jobs.tables import fences
from services.trainer.pipelines import tables as t
from services.trainer.pipelines.history import Kind, Line, between
from services.trainer.pipelines.listing import condition
from services.trainer.pipelines.state import Phase, Pipeline, from_json, to_json

log = structlog.get_logger(__name__)

# From the pipeline as it is kept to what is to be kept; may be run again after a deadlock, so it must be pure.
Change = Callable[[Pipeline], Pipeline]


class PipelineRecords:
    """All access to pipelines."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def create(self, pipeline: Pipeline) -> Pipeline:
        """Keeps a new one, or answers the one that has its id already, as it is now."""

        async def work(session: AsyncSession) -> Pipeline:
            await insert_new(session, pipeline)
            return _pipeline(await _row(session, pipeline.id))

        try:
            return await self._db.run(work)
        except IntegrityError as error:  # somebody else has just made it
            if not is_duplicate(error):
                raise
            return await self.get(pipeline.id)

    async def change(self, pipeline: str, change: Change, fence: int = 0, through: Sequence[Pipeline] = ()) -> Pipeline:
        """Keeps what `change` makes of it; with a fence, NOT_LEADER when a later leader has written.

        `through` is what it was on the way, for the history.
        """

        async def work(session: AsyncSession) -> Pipeline:
            if fence:
                await raise_fence(session, fences, t.LEADER, fence)
            return await change_in(session, pipeline, change, through)

        return await self._db.run(work)

    async def decided(self, before: Pipeline, after: Pipeline, fence: int, through: Sequence[Pipeline] = ()) -> bool:
        """Keeps a decision if the pipeline still is as it was when it was decided; else the next round does anew."""
        kept = await self.change(after.id, lambda pipeline: after if pipeline == before else pipeline, fence, through)
        return kept == after

    async def get(self, pipeline: str) -> Pipeline:
        """Raises PIPELINE_NOT_FOUND."""
        async with self._db.read() as session:
            return _pipeline(await _row(session, pipeline))

    async def unfinished(self) -> list[Pipeline]:
        """All that have not ended, oldest first."""
        query = select(t.pipelines).where(t.pipelines.c.unfinished.is_(True))
        return await self._found(query.order_by(t.pipelines.c.created, t.pipelines.c.id))

    async def fence(self) -> int:
        """The highest fence that was written under; 0: none."""
        async with self._db.read() as session:
            return await leading_fence(session, fences, t.LEADER)

    async def lead(self, fence: int) -> None:
        """From here on, earlier leaders are refused."""
        await self._db.run(lambda session: raise_fence(session, fences, t.LEADER, fence))

    async def listed(
        self, terms: Sequence[Term], size: int, last: tuple[float, str] | None = None
    ) -> tuple[list[Pipeline], tuple[float, str] | None]:
        """One page, latest first, after a row with these order values; and those of its last row if more follow."""
        columns = t.pipelines.c
        query = select(t.pipelines).where(*[condition(term) for term in terms])
        if last is not None:
            same = and_(columns.created == last[0], columns.id < last[1])
            query = query.where(or_(columns.created < last[0], same))
        query = query.order_by(columns.created.desc(), columns.id.desc())
        async with self._db.read() as session:
            rows, more = await fitting(session, query, columns.document, size)
        end = (float(rows[-1]["created"]), str(rows[-1]["id"])) if more else None
        return _readable(rows), end

    async def of_schedule(self, schedule: str, count: int) -> list[Pipeline]:
        """The latest ones that it has started, latest first."""
        columns = t.pipelines.c
        query = select(t.pipelines).where(columns.schedule == schedule)
        return await self._found(query.order_by(columns.created.desc(), columns.id.desc()).limit(count))

    async def history(self, pipeline: str, after: int = 0, count: int = 1000) -> list[Line]:
        """Lines after the number, in order. Raises PIPELINE_NOT_FOUND."""
        columns = t.pipeline_lines.c
        query = select(t.pipeline_lines).where(columns.pipeline == pipeline, columns.number > after)
        async with self._db.read() as session:
            await _row(session, pipeline)
            rows = (await session.execute(query.order_by(columns.number).limit(count))).all()
        return [_line(row) for row in rows]

    async def _found(self, query: Select[Any]) -> list[Pipeline]:
        async with self._db.read() as session:
            return _readable([dict(row._mapping) for row in await session.execute(query)])


def _readable(rows: Sequence[Mapping[str, Any]]) -> list[Pipeline]:
    found = []
    for row in rows:
        try:
            found.append(_pipeline(row))
        except DomainError as error:  # left as it is, and in nobody's way
            log.error("pipeline_unreadable", pipeline=row["id"], message=error.message)
    return found


async def fitting(
    session: AsyncSession, query: Select[Any], document: ColumnElement[str], size: int
) -> tuple[list[Mapping[str, Any]], bool]:
    """At most `size` rows, fewer when their documents are large, and whether there are more."""
    lengths = query.with_only_columns(func.length(document)).limit(size + 1)
    sizes = [int(length) for length in await session.scalars(lengths)]
    count = pages.that_fit(sizes[:size])
    rows = (await session.execute(query.limit(count))).all() if count else []
    return [dict(row._mapping) for row in rows], count < len(sizes)


async def insert_new(session: AsyncSession, pipeline: Pipeline) -> bool:
    """Within a transaction that others have begun; False: it is there already, and stays as it is."""
    if await session.scalar(select(t.pipelines.c.id).where(t.pipelines.c.id == pipeline.id)):
        return False
    row = {"id": pipeline.id, "created": pipeline.created, "last_line": 0, **_values(pipeline)}
    await session.execute(insert(t.pipelines).values(**row))
    await _write(session, pipeline.id, between(None, pipeline, pipeline.created), 0)
    return True


async def change_in(session: AsyncSession, pipeline: str, change: Change, through: Sequence[Pipeline] = ()) -> Pipeline:
    """Within a transaction that others have begun. Raises PIPELINE_NOT_FOUND."""
    row = await _row(session, pipeline, locked=True)
    before = _pipeline(row)
    after = change(before)
    if after != before:
        await session.execute(update(t.pipelines).where(t.pipelines.c.id == pipeline).values(**_values(after)))
        now, course = time.time(), (before, *through, after)
        lines = [line for one, other in pairwise(course) for line in between(one, other, now)]
        await _write(session, pipeline, lines, int(row["last_line"]))
    return after


async def _row(session: AsyncSession, pipeline: str, locked: bool = False) -> Mapping[str, Any]:
    if locked:  # written before it is read, where a database does not lock rows by reading them
        same = update(t.pipelines).where(t.pipelines.c.id == pipeline).values(last_line=t.pipelines.c.last_line)
        await session.execute(same)
    query = select(t.pipelines).where(t.pipelines.c.id == pipeline)
    row = (await session.execute(query.with_for_update() if locked else query)).first()
    if row is None:
        hint = "List the pipelines to find its name."
        raise DomainError(Reason.PIPELINE_NOT_FOUND, f"there is no pipeline {pipeline}", hint=hint)
    return dict(row._mapping)


async def _write(session: AsyncSession, pipeline: str, lines: Sequence[Line], last: int) -> None:
    if not lines:
        return
    rows = [
        {"pipeline": pipeline, "number": number, "time": line.time, "kind": line.kind.value}
        | {
            "phase": line.phase.value,
            "reason": line.reason[: t.LONG_WORD],
            "actor": line.actor,
            "message": line.message,
        }
        for number, line in enumerate(lines, last + 1)
    ]
    await session.execute(insert(t.pipeline_lines), rows)
    await session.execute(update(t.pipelines).where(t.pipelines.c.id == pipeline).values(last_line=last + len(rows)))


def _values(pipeline: Pipeline) -> dict[str, Any]:
    return {
        "model": pipeline.model,
        "schedule": pipeline.schedule,
        "phase": pipeline.phase.value,
        "unfinished": not pipeline.final,
        "document": to_json(pipeline),
    }


def _pipeline(row: Mapping[str, Any]) -> Pipeline:
    return from_json(str(row["id"]), str(row["document"]))


def _line(row: Any) -> Line:
    return Line(Kind(row.kind), row.time, Phase(row.phase), row.message, row.reason, row.actor, row.number)
