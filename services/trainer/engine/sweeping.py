"""What jobs leave that have ended: blobs go with the job, what it printed and reported when that is long ago."""

from __future__ import annotations

import asyncio
import contextlib
import time

import structlog

from services.kit.errors import DomainError
from services.trainer.engine.blobs import Blobs
from services.trainer.jobs.journal import JobJournal
from services.trainer.jobs.records import JobRecords

log = structlog.get_logger(__name__)

EVERY = 600.0  # seconds between two looks
DAY = 86_400.0


class Sweeper:
    """Of the leader. What cannot be removed now is looked at again; removing twice is the same."""

    def __init__(self, records: JobRecords, journal: JobJournal, blobs: Blobs, journal_days: float) -> None:
        self._records, self._journal, self._blobs, self._days = records, journal, blobs, journal_days
        self._next_day = 0.0

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self.sweep()
            await asyncio.sleep(EVERY)

    async def sweep(self) -> None:
        """Blobs of jobs that ended while nobody led, or while they waited; once a day, the old lines of journals."""
        try:
            going_on = {job.id for job in await self._records.unfinished()}
            for job in await self._blobs.kept_below("jobs") - going_on:
                await self.forget(job)
            if self._days and time.time() >= self._next_day:
                await self._journal.forget(time.time() - self._days * DAY)
                self._next_day = time.time() + DAY
        except (DomainError, OSError) as error:
            log.warning("not_swept", message=str(error))

    async def forget(self, job: str) -> None:
        """What was kept for further attempts, once the job has ended."""
        with contextlib.suppress(DomainError, OSError):
            if (await self._records.get(job)).final:
                await asyncio.to_thread(self._blobs.delete_all, f"jobs/{job}")
