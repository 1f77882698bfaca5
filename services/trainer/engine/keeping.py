"""Changes of one job as one attempt of it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog
from bmase.reasons import Reason

from services.kit.errors import DomainError
from services.kit.hub import Hub
from services.trainer.jobs import transitions
from services.trainer.jobs.records import Change, JobRecords
from services.trainer.jobs.state import LOSSES, Cause, Job
from services.trainer.jobs.transitions import IllegalMove

log = structlog.get_logger(__name__)

AGAIN = 1.0  # seconds until whoever does not answer is asked again

Move = Callable[[Job, int], Job]  # the attempt's number comes with the job
Result = TypeVar("Result")


class Keeper:
    """Under the leader's fence; waits for a store that does not answer."""

    def __init__(self, records: JobRecords, job: str, attempt: int, fence: int, hub: Hub) -> None:
        self._records, self._job, self._attempt, self._fence, self._hub = records, job, attempt, fence, hub

    async def now(self) -> Job:
        """The job as it is kept."""
        return await kept(lambda: self._records.get(self._job))

    async def change(self, move: Move) -> tuple[Job, Job]:
        """The job before and after. StaleAttempt when the attempt no longer counts; NOT_LEADER."""
        before: list[Job] = []

        def change(now: Job) -> Job:
            before[:] = [now]
            return move(now, self._attempt)

        after = await kept(lambda: self._records.change(self._job, change, self._fence))
        self._hub.notify()
        return before[0], after

    async def end(self, cause: Cause, message: str) -> None:
        """As `ended`; nothing when the attempt no longer counts or another instance leads."""
        with contextlib.suppress(IllegalMove, DomainError):
            await self.change(lambda job, at: ended(job, at, cause, message))

    async def quietly(self, change: Change) -> None:
        """Once; what no longer counts, or cannot be kept now, is left out."""
        with contextlib.suppress(IllegalMove, DomainError):
            await self._records.change(self._job, change, self._fence)


async def kept(write: Callable[[], Awaitable[Result]]) -> Result:
    """What was written; again and again while the store does not answer."""
    while True:
        try:
            return await write()
        except DomainError as error:
            if error.reason is not Reason.STORE_UNAVAILABLE:
                raise
            log.warning("not_kept", message=error.message)
            await asyncio.sleep(AGAIN)


def prepared(job: Job, attempt: int) -> Job:
    """PREPARING -> the stage that the job is at."""
    return transitions.prepared(job, attempt, time.time())


def gone(job: Job, attempt: int, message: str, cause: Cause = Cause.WORKER_LOST) -> Job:
    """Its processes are gone, and it had not ended."""
    if job.stop:
        return transitions.stopped(job, attempt, time.time())
    return transitions.lost(job, attempt, time.time(), cause, message)


def ended(job: Job, attempt: int, cause: Cause, message: str) -> Job:
    """By a loss, or for good."""
    if cause in LOSSES:
        return gone(job, attempt, message, cause)
    return transitions.failed(job, attempt, time.time(), cause, message)
