"""Changes of the catalogue: one at a time, numbered, and told to whoever watches.

Every transaction that changes models or versions first locks the one row of `revisions`. So revisions are handed out in
the order in which transactions become visible: a watcher that has seen revision 7 never finds a 6 afterwards.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog
from bmase.registry.v1 import registry_pb2 as pb
from sqlalchemy import select, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession

from services.kit.database import Database
from services.kit.errors import DomainError
from services.registry import moments, tables

log = structlog.get_logger(__name__)

Result = TypeVar("Result")
Kind = pb.WatchModelsResponse.Kind

# How long a change made by another instance on the same database stays unnoticed.
POLL_SECONDS = 1.0


class Turn:
    """One transaction that changes the catalogue; `now` is the time of all it does."""

    def __init__(self, session: AsyncSession, last: int) -> None:
        self.session = session
        self.now = moments.now()
        self.last = last

    def next_revision(self) -> int:
        """The revision of the change that is recorded next."""
        return self.last + 1

    async def record(self, kind: Kind, model: pb.Model, version: pb.Version | None = None) -> None:
        """Writes a change into the journal."""
        self.last += 1
        event = pb.WatchModelsResponse(revision=self.last, kind=kind, model=model, version=version)
        values = {
            "revision": self.last,
            "model": model.name.removeprefix("models/"),
            "event": event.SerializeToString(),
            "create_time": self.now,
        }
        await self.session.execute(tables.changes.insert().values(values))


class Journal:
    """Makes changes, and lets watchers wait for them."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._last = 0
        self._changed = asyncio.Condition()

    async def change(self, work: Callable[[Turn], Awaitable[Result]]) -> Result:
        """Runs `work` in a transaction that is the only one to change the catalogue; again after a deadlock."""
        turn: Turn | None = None

        async def locked(session: AsyncSession) -> Result:
            nonlocal turn
            revisions = tables.revisions
            # Written, not only read: the first statement must take the lock on either database.
            await session.execute(update(revisions).values(last=revisions.c.last))
            turn = Turn(session, int(await session.scalar(select(revisions.c.last)) or 0))
            result = await work(turn)
            await session.execute(update(revisions).values(last=turn.last))
            return result

        result = await self._database.run(locked)
        if turn is not None:
            await self._saw(turn.last)
        return result

    async def bounds(self) -> tuple[int, int]:
        """(oldest, last): changes after `oldest` up to `last` can be read."""
        async with self._database.read() as session:
            row = (await session.execute(select(tables.revisions.c.oldest, tables.revisions.c.last))).one()
        await self._saw(row.last)
        return row.oldest, row.last

    async def wait_beyond(self, revision: int) -> None:
        """Returns when there is a later revision."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._last > revision)

    async def follow(self) -> None:
        """Runs as long as the service: notices the changes of other instances. Trouble of the database is waited
        out.
        """
        while True:
            await asyncio.sleep(POLL_SECONDS)
            try:
                await self.bounds()
            except DomainError:
                continue
            except (OSError, SQLAlchemyError):  # what the database's errors have no word for ends no calls of others
                log.exception("journal.not_read")

    async def _saw(self, revision: int) -> None:
        if revision <= self._last:
            return
        async with self._changed:
            self._last = max(self._last, revision)
            self._changed.notify_all()
