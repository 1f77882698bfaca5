"""Joins reports with requests. The first report of a request counts; a repeated one changes nothing.

A report that says version and prediction itself needs no request. Any other waits an hour for the sample of its
request: samples and reports travel by different ways, and either may be first.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from services.kit.errors import DomainError
from services.monitor.outcomes.accuracy import Accuracy
from services.monitor.outcomes.journal import Journal, Line
from services.monitor.outcomes.model import Given, Key, OutcomeEvent, Seen, wrong
from services.monitor.outcomes.remembered import Remembered
from services.monitor.samples.model import Report, Sample, Told
from services.monitor.samples.store import SampleStore
from services.monitor.samples.writer import Writer

# Of each kind (requests, reports, reports that wait); tens of megabytes when full. Older ones are forgotten then.
MAX_REMEMBERED = 200_000
WAIT_SECONDS = 3600.0


class Answered(NamedTuple):
    """What became of the outcomes of one call."""

    joined: int
    waiting: int
    repeated: int


class Joined(NamedTuple):
    """A report and its request, as far as that was seen."""

    key: Key
    given: Given
    seen: Seen | None


class Outcomes:
    """All models' outcomes. Everything but the wait for store and disk runs in the event loop, so nothing is locked."""

    def __init__(
        self,
        folder: Path,
        store: SampleStore,
        writer: Writer,
        on_event: Callable[[OutcomeEvent], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store, self._writer, self._on_event, self._clock = store, writer, on_event, clock
        self._journal = Journal(folder, clock)
        self._seen: Remembered[Key, Seen] = Remembered(MAX_REMEMBERED, WAIT_SECONDS, clock)
        self._known: Remembered[Key, bool] = Remembered(MAX_REMEMBERED, WAIT_SECONDS, clock)
        self._waiting: Remembered[Key, Given] = Remembered(MAX_REMEMBERED, WAIT_SECONDS, clock)
        self._taking: set[asyncio.Future[Answered]] = set()
        self.accuracy = Accuracy(clock)
        self._restore()

    @property
    def waiting(self) -> int:
        """Reports whose request was not seen, some of which may have waited too long already."""
        return len(self._waiting)

    def saw(self, sample: Sample) -> Sample:
        """A request that was sampled just now: remembered, and joined with the report that waited for it."""
        seen = Seen(sample.time, sample.version, sample.client, sample.prediction, sample.via == "weight")
        joined = sample
        for name in sample.request_ids:
            key = Key(sample.model, name)
            self._seen.put(key, seen)
            given = self._waiting.pop(key)
            if given is not None and joined.told is None:
                joined = replace(joined, told=self._count(key, given, seen))
        return joined

    def forget(self, model: str) -> None:
        """What was seen of the model's requests, which must not be kept any more."""
        self._seen.forget(lambda key: key.model == model)

    async def report(self, model: str, given: Sequence[Given]) -> Answered:
        """Takes reports in; safe to repeat. Who stops waiting has reported all the same: they are known by then."""
        taking = asyncio.ensure_future(self._take(model, given))
        self._taking.add(taking)
        taking.add_done_callback(self._taking.discard)
        return await asyncio.shield(taking)

    async def _take(self, model: str, given: Sequence[Given]) -> Answered:
        fresh = self._fresh(model, given)
        try:
            return await self._take_fresh(model, given, fresh)
        except BaseException:
            for one in fresh:
                self._known.pop(Key(model, one.request_id))
            raise

    async def _take_fresh(self, model: str, given: Sequence[Given], fresh: Sequence[Given]) -> Answered:
        stored = await self._stored(model, fresh)
        counted: list[Joined] = []
        lines: list[Line] = []
        for one in fresh:
            key = Key(model, one.request_id)
            sample = stored.get(one.request_id)
            if sample is not None and sample.told is not None:
                continue
            seen = self._seen.get(key) or (_seen(sample) if sample else None)
            if seen is None and not one.complete:
                self._waiting.put(key, one)
                lines.append(Line(self._clock(), model, one))
            else:
                counted.append(Joined(key, one, seen))
                lines.append(_line(self._clock(), model, one, seen))
        # Written before it counts: after a crash a repeated report is known as such.
        await asyncio.to_thread(self._journal.append, lines)
        for joined in counted:
            self._join(joined)
        waiting = len(lines) - len(counted)
        return Answered(len(counted), waiting, len(given) - len(lines))

    def _fresh(self, model: str, given: Sequence[Given]) -> list[Given]:
        """The reports that are the first of their requests, which are known from now on.

        One that waits gives way to one that says what the first left open.
        """
        fresh = []
        for one in given:
            key = Key(model, one.request_id)
            if key not in self._known or (one.complete and self._waiting.pop(key) is not None):
                self._known.put(key, True)
                fresh.append(one)
        return fresh

    def _join(self, joined: Joined) -> None:
        told = self._count(*joined)
        if joined.seen is not None:
            self._writer.report(Report(joined.key.model, joined.key.request_id, told))

    async def _stored(self, model: str, given: Sequence[Given]) -> dict[str, Sample]:
        """Samples of requests that are not remembered here, as after a restart; none when the store is away."""
        ids = [g.request_id for g in given if not g.complete and self._seen.get(Key(model, g.request_id)) is None]
        if not ids:
            return {}
        try:
            return await self._store.find(model, ids)
        except DomainError:
            return {}

    def _count(self, key: Key, given: Given, seen: Seen | None) -> Told:
        version, prediction = _known_by(given, seen)
        verdict = wrong(given, prediction)
        if verdict is not None:
            self.accuracy.add(key.model, version, wrong=verdict)
            if seen is None or seen.by_weight:
                self._on_event(_event(key, given, seen, version, verdict))
        return Told(given.label, given.score, given.time, verdict)

    def _restore(self) -> None:
        for line in self._journal.load():
            key = Key(line.model, line.given.request_id)
            if line.at <= self._clock() - 2 * WAIT_SECONDS:
                continue
            self._known.put(key, True)
            self._waiting.pop(key)
            if line.version and line.wrong is not None:
                self.accuracy.add(line.model, line.version, wrong=line.wrong, at=line.at)
            elif not line.version and line.at > self._clock() - WAIT_SECONDS:
                self._waiting.put(key, line.given)


def _seen(sample: Sample) -> Seen:
    return Seen(sample.time, sample.version, sample.client, sample.prediction, sample.via == "weight")


def _known_by(given: Given, seen: Seen | None) -> tuple[int, str]:
    """Version and prediction: what was seen is believed before what is said."""
    if seen is None:
        return given.version, given.prediction
    return seen.version, seen.prediction or given.prediction


def _line(at: float, model: str, given: Given, seen: Seen | None) -> Line:
    version, prediction = _known_by(given, seen)
    return Line(at, model, given, version, wrong(given, prediction))


def _event(key: Key, given: Given, seen: Seen | None, version: int, verdict: bool) -> OutcomeEvent:
    if seen is None:
        return OutcomeEvent(given.time, key.model, version, "", key.request_id, verdict, sampled=False)
    return OutcomeEvent(seen.time, key.model, version, seen.client, key.request_id, verdict)
