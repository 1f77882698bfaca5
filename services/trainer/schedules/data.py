"""Keeps an eye on the data of schedules that wait for new data: one look at a time for each of them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import structlog

from services.trainer.jobs.spec import DataSource
from services.trainer.schedules.observation import DataSeen
from services.trainer.schedules.spec import DataTrigger
from services.trainer.schedules.state import Schedule
from services.trainer.schedules.triggers import wants_digest

log = structlog.get_logger(__name__)

POLL_SECONDS = 30.0
LISTING_SECONDS = 300.0
READING_SECONDS = 86_400.0
READERS = 1  # whole contents that are read at once
LISTERS = 4

Data = tuple[DataSource, ...]


@dataclass(frozen=True, slots=True)
class _Look:
    data: Data
    began: float  # on the monotonic clock
    seen: DataSeen | None


class DataWatch:
    """Of the leader. A source that cannot be read says nothing, and is looked at again."""

    def __init__(self, poll: float = POLL_SECONDS) -> None:
        self._poll = poll
        self._looks: dict[str, _Look] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._listers, self._readers = asyncio.Semaphore(LISTERS), asyncio.Semaphore(READERS)

    def look(self, schedules: Iterable[Schedule]) -> Mapping[str, DataSeen]:
        """What is known of them; begins to look again where that is due."""
        waiting = [s for s in schedules if isinstance(s.spec.trigger, DataTrigger) and not s.paused]
        known: dict[str, DataSeen] = {}
        for schedule in waiting:
            last = self._looks.get(schedule.id)
            if last is not None and last.seen is not None and last.data == schedule.spec.plan.job.data:
                known[schedule.id] = last.seen
            if schedule.id not in self._tasks and self._is_due(schedule, last):
                self._begin(schedule)
        for gone in self._looks.keys() - {schedule.id for schedule in waiting}:
            del self._looks[gone]
        return known

    async def close(self) -> None:
        """Ends what is under way."""
        tasks, self._tasks = list(self._tasks.values()), {}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _is_due(self, schedule: Schedule, last: _Look | None) -> bool:
        if last is None or last.data != schedule.spec.plan.job.data:
            return True
        return time.monotonic() - last.began >= self._poll

    def _begin(self, schedule: Schedule) -> None:
        task = asyncio.create_task(self._watch(schedule), name=f"data of {schedule.id}")
        self._tasks[schedule.id] = task
        task.add_done_callback(lambda done: self._ended(schedule.id, done))

    def _ended(self, schedule: str, task: asyncio.Task[None]) -> None:
        if self._tasks.get(schedule) is task:
            del self._tasks[schedule]
        if not task.cancelled() and (error := task.exception()):
            log.error("data_look_failed", schedule=schedule, exc_info=error)

    async def _watch(self, schedule: Schedule) -> None:
        data, began = schedule.spec.plan.job.data, time.monotonic()
        uris = [uri for source in data for uri in source.uris]
        async with self._listers:
            seen = await self._probed(schedule, uris, False, LISTING_SECONDS)
        if seen is not None and wants_digest(schedule, seen.listing, time.time()):
            async with self._readers:
                seen = await self._probed(schedule, uris, True, READING_SECONDS)
        self._looks[schedule.id] = _Look(data, began, seen)

    async def _probed(self, schedule: Schedule, uris: list[str], digest: bool, seconds: float) -> DataSeen | None:
        try:
            async with asyncio.timeout(seconds):
                found = await probe(uris, digest)
        except (TimeoutError, OSError, ValueError) as error:
            found = {"error": f"{type(error).__name__}: {error}"}
        if "error" in found:
            log.warning("data_not_seen", schedule=schedule.id, message=found["error"])
            return None
        return DataSeen(found["listing"], found["digest"])


async def probe(uris: list[str], digest: bool) -> dict[str, str]:
    """The answer of the process that looks; it does not outlive this call. ValueError when it has died."""
    pipe = asyncio.subprocess.PIPE
    command = (sys.executable, "-m", "services.trainer.schedules.probe")
    process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe)
    try:
        out, _ = await process.communicate(json.dumps({"uris": uris, "digest": digest}).encode())
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    if process.returncode:
        raise ValueError(f"looking at the data ended with exit code {process.returncode}")
    found: dict[str, str] = json.loads(out)
    return found
