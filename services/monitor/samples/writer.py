"""Brings samples into the store in batches, without ever making anybody wait.

What comes faster than the store takes it, or while the store is away, is dropped, oldest first, and counted. Everything
here runs in the event loop; only `run` waits.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import replace

import structlog

from services.kit.errors import DomainError
from services.monitor.samples.model import Batch, Report, Rules, Sample
from services.monitor.samples.store import SampleStore

log = structlog.get_logger(__name__)

BATCH = 256
BATCH_BYTES = 4 * 1024 * 1024
GATHER_SECONDS = 0.25
RETRY_SECONDS = 1.0
LONGEST_RETRY_SECONDS = 15.0
SWEEP_SECONDS = 30.0
LOOK_AT_ALL_SECONDS = 600.0
FINISH_SECONDS = 2.0
MAX_REPORTS = 20_000


class Writer:
    """One store, one queue.

    `rules` says at the moment of writing what is allowed: settings may have become stricter while a sample waited.
    """

    def __init__(
        self,
        store: SampleStore,
        rules: Callable[[str], Rules],
        *,
        max_samples: int = 4096,
        max_bytes: int = 64 * 1024 * 1024,
    ) -> None:
        self._store = store
        self._rules = rules
        self._max_samples, self._max_bytes = max_samples, max_bytes
        self._samples: deque[Sample] = deque()
        self._reports: deque[Report] = deque(maxlen=MAX_REPORTS)
        self._queued_bytes = 0
        self._wake = asyncio.Event()
        self._sweep_now = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self.available = True
        self.dropped: Counter[str] = Counter()
        self.written = 0
        self.sizes: Counter[str] = Counter()
        self._enforced: dict[str, Rules] = {}
        self._look_at_all = 0.0

    @property
    def queued(self) -> int:
        """Samples that wait."""
        return len(self._samples)

    def put(self, sample: Sample) -> None:
        """Takes a sample over; never waits."""
        self._samples.append(sample)
        self._queued_bytes += sample.weight()
        while len(self._samples) > self._max_samples or self._queued_bytes > self._max_bytes:
            self._drop(self._samples.popleft())
        self._told()

    def report(self, report: Report) -> None:
        """Takes the outcome of a sample that was kept earlier; never waits."""
        self._reports.append(report)
        self._told()

    def sweep(self) -> None:
        """Enforces the rules soon, as they may have changed."""
        self._sweep_now.set()

    async def flushed(self) -> None:
        """Returns when all that was put has been written or dropped."""
        await self._idle.wait()

    async def run(self) -> None:
        """Writes and sweeps for ever."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._write_all(), name="samples writer")
            tasks.create_task(self._sweep_all(), name="samples sweeper")

    async def finish(self) -> None:
        """Writes what waits, once nothing comes any more; gives up after a moment."""
        with contextlib.suppress(DomainError, TimeoutError):
            async with asyncio.timeout(FINISH_SECONDS):
                while self._samples or self._reports:
                    await self._store.write(self._allowed(self._next()))

    def _told(self) -> None:
        self._idle.clear()
        self._wake.set()

    def _drop(self, sample: Sample) -> None:
        self._queued_bytes -= sample.weight()
        self.dropped[sample.model] += 1

    async def _write_all(self) -> None:
        while True:
            if not self._samples and not self._reports:
                self._idle.set()
                self._wake.clear()
                await self._wake.wait()
                await asyncio.sleep(GATHER_SECONDS)
            batch = self._next()
            try:
                await self._write(batch)
            except asyncio.CancelledError:
                self._give_back(batch)
                raise

    def _give_back(self, batch: Batch) -> None:
        """Written again it changes nothing, if it was written."""
        self._samples.extendleft(reversed(batch.samples))
        self._reports.extendleft(reversed(batch.reports))
        self._queued_bytes += sum(sample.weight() for sample in batch.samples)

    def _next(self) -> Batch:
        samples: list[Sample] = []
        size = 0
        while self._samples and len(samples) < BATCH and size < BATCH_BYTES:
            sample = self._samples.popleft()
            self._queued_bytes -= sample.weight()
            size += sample.weight()
            samples.append(sample)
        reports = [self._reports.popleft() for _ in range(min(BATCH, len(self._reports)))]
        return Batch(tuple(samples), tuple(reports))

    async def _write(self, batch: Batch) -> None:
        """Until it is written. Meanwhile the queue behind it stays bounded by itself."""
        pause = RETRY_SECONDS
        while True:
            allowed = self._allowed(batch)
            try:
                await self._store.write(allowed)
            except DomainError as error:
                self._lost(error)
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST_RETRY_SECONDS)
                continue
            except Exception:
                # Written again it would fail again: a defect costs its batch, not all that come after it.
                log.exception("samples.not_written", samples=len(allowed.samples))
                self.dropped.update(sample.model for sample in allowed.samples)
                return
            self._back()
            self._count(allowed)
            return

    def _allowed(self, batch: Batch) -> Batch:
        kept: list[Sample] = []
        expires: dict[str, float] = {}
        for sample in batch.samples:
            rules = self._rules(sample.model)
            if not rules.opt_out and not sample.holds(rules.redacted):
                kept.append(sample)
                expires[sample.id] = sample.time + rules.retention
        return Batch(tuple(kept), batch.reports, expires)

    def _count(self, written: Batch) -> None:
        self.written += len(written.samples)
        for sample in written.samples:
            self.sizes[sample.model] += sample.weight()
        # Rules that changed while it was written were not applied to it.
        if self._allowed(written).samples != written.samples:
            self._enforced.clear()
            self.sweep()

    def _lost(self, error: DomainError) -> None:
        if self.available:
            log.warning("samples.store_lost", error=error.message, cause=str(error.__cause__ or "")[:300])
        self.available = False

    def _back(self) -> None:
        if not self.available:
            log.info("samples.store_back", dropped=sum(self.dropped.values()))
        self.available = True

    async def _sweep_all(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(SWEEP_SECONDS):
                    await self._sweep_now.wait()
            self._sweep_now.clear()
            try:
                await self._sweep()
            except DomainError as error:
                self._lost(error)
            except Exception:
                log.exception("samples.not_swept")

    async def _sweep(self) -> None:
        """Looks at models whose rules changed or that have too much; now and then at all, as samples expire too."""
        if time.monotonic() >= self._look_at_all:
            self._enforced.clear()
            self.sizes = Counter(await self._store.sizes())
            self._look_at_all = time.monotonic() + LOOK_AT_ALL_SECONDS
        for model, size in list(self.sizes.items()):
            rules = self._rules(model)
            if self._enforced.get(model) != rules or size > rules.max_bytes:
                self.sizes[model] = await self._store.enforce(model, _with_room(rules))
                self._enforced[model] = rules

    def describe(self) -> Iterator[tuple[str, str, float]]:
        """Name, help and value of what is shown of it."""
        yield "samples_queued", "Samples that wait for the store.", len(self._samples)
        yield "samples_store_up", "Whether the last write or sweep reached the store of samples.", float(self.available)
        yield "samples_stored_bytes", "Bytes of kept samples.", float(sum(self.sizes.values()))


def _with_room(rules: Rules) -> Rules:
    """So that a model that is full is not trimmed at every look."""
    return replace(rules, max_bytes=rules.max_bytes * 9 // 10)
