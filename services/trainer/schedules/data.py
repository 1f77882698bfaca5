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


@dataclass(frozen=True, slots=True)
class _Watch:
    data: Data
    task: asyncio.Task[None]


class DataWatch:
    """Of the leader. A source that cannot be read says nothing, and is looked at again."""

    def __init__(self, poll: float = POLL_SECONDS) -> None:
        self._poll = poll
        self._looks: dict[str, _Look] = {}
        self._watches: dict[str, _Watch] = {}
        self._leaving: set[asyncio.Task[None]] = set()  # cancelled, and not ended yet
        self._listers, self._readers = asyncio.Semaphore(LISTERS), asyncio.Semaphore(READERS)

    def look(self, schedules: Iterable[Schedule]) -> Mapping[str, DataSeen]:
        """What is known of them; begins to look again where that is due, and ends looks that nobody wants any more."""
        waiting = {s.id: s for s in schedules if isinstance(s.spec.trigger, DataTrigger) and not s.paused}
        self._end({id: watch for id, watch in self._watches.items() if watch.data != _data(waiting.get(id))})
        known: dict[str, DataSeen] = {}
        for schedule in waiting.values():
            last = self._looks.get(schedule.id)
            if last is not None and last.seen is not None and last.data == _data(schedule):
                known[schedule.id] = last.seen
            if schedule.id not in self._watches and self._is_due(schedule, last):
                self._begin(schedule)
        for gone in self._looks.keys() - waiting.keys():
            del self._looks[gone]
        return known

    async def close(self) -> None:
        """Ends what is under way."""
        self._end(dict(self._watches))
        await asyncio.gather(*self._leaving, return_exceptions=True)

    def _end(self, watches: Mapping[str, _Watch]) -> None:
        """A look may take a day, and all contents are read by one reader."""
        for id, watch in watches.items():
            del self._watches[id]
            self._leaving.add(watch.task)
            watch.task.add_done_callback(self._leaving.discard)
            watch.task.cancel()

    def _is_due(self, schedule: Schedule, last: _Look | None) -> bool:
        if last is None or last.data != _data(schedule):
            return True
        return time.monotonic() - last.began >= self._poll

    def _begin(self, schedule: Schedule) -> None:
        task = asyncio.create_task(self._watch(schedule), name=f"data of {schedule.id}")
        self._watches[schedule.id] = _Watch(_data(schedule), task)
        task.add_done_callback(lambda done: self._ended(schedule.id, done))

    def _ended(self, schedule: str, task: asyncio.Task[None]) -> None:
        watch = self._watches.get(schedule)
        if watch is not None and watch.task is task:
            del self._watches[schedule]
        if not task.cancelled() and (error := task.exception()):
            log.error("data_look_failed", schedule=schedule, exc_info=error)

    async def _watch(self, schedule: Schedule) -> None:
        data, began = _data(schedule), time.monotonic()
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


def _data(schedule: Schedule | None) -> Data:
    """Of no schedule: none, which no trigger of new data has."""
    return () if schedule is None else schedule.spec.plan.job.data


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
