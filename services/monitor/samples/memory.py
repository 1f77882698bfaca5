"""Samples in this process: what is used when no document store is configured."""

from __future__ import annotations

import bisect
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from services.monitor.samples.model import Batch, Query, Report, Rules, Sample


@dataclass
class Shelf:
    """One model's samples. `ids` is sorted and names exactly what is in `samples`; `bytes` is their sum."""

    ids: list[str] = field(default_factory=list)
    samples: dict[str, Sample] = field(default_factory=dict)
    expires: dict[str, float] = field(default_factory=dict)
    by_request: dict[str, str] = field(default_factory=dict)
    bytes: int = 0

    def add(self, sample: Sample, expires: float, now: float) -> None:
        if sample.id in self.samples:
            return
        self.expire(now)
        bisect.insort(self.ids, sample.id)
        self.samples[sample.id] = sample
        self.expires[sample.id] = expires
        for name in sample.request_ids:
            self.by_request[name] = max(sample.id, self.by_request.get(name, ""))
        self.bytes += sample.weight()

    def expire(self, now: float) -> None:
        """Forgets the oldest, as long as their time is over."""
        while self.ids and self.expires[self.ids[0]] <= now:
            self.remove(self.ids[0])

    def remove(self, sample_id: str) -> None:
        sample = self.samples.pop(sample_id)
        del self.ids[bisect.bisect_left(self.ids, sample_id)]
        del self.expires[sample_id]
        for name in sample.request_ids:
            if self.by_request.get(name) == sample_id:
                del self.by_request[name]
        self.bytes -= sample.weight()

    def tell(self, report: Report) -> None:
        sample_id = self.by_request.get(report.request_id)
        if sample_id and self.samples[sample_id].told is None:
            self.samples[sample_id] = replace(self.samples[sample_id], told=report.told)


class MemoryStore:
    """A `SampleStore` bounded by `max_bytes` over all models: the model with most gives first."""

    def __init__(self, max_bytes: int, clock: Callable[[], float] = time.time) -> None:
        self._max_bytes = max_bytes
        self._clock = clock
        self._shelves: dict[str, Shelf] = {}

    async def write(self, batch: Batch) -> None:
        for sample in batch.samples:
            self._shelves.setdefault(sample.model, Shelf()).add(sample, batch.expires[sample.id], self._clock())
        for report in batch.reports:
            if shelf := self._shelves.get(report.model):
                shelf.tell(report)
        while sum(shelf.bytes for shelf in self._shelves.values()) > self._max_bytes:
            largest = max(self._shelves.values(), key=lambda shelf: shelf.bytes)
            for sample_id in largest.ids[: max(1, len(largest.ids) // 20)]:
                largest.remove(sample_id)

    async def page(self, query: Query) -> list[Sample]:
        found = self._matching(query)
        return found if query.raw else [replace(sample, raw=b"") for sample in found]

    async def count(self, query: Query) -> int:
        return len(self._matching(query))

    async def find(self, model: str, request_ids: Sequence[str]) -> dict[str, Sample]:
        shelf, now = self._shelves.get(model, Shelf()), self._clock()
        ids = {name: shelf.by_request[name] for name in request_ids if name in shelf.by_request}
        alive = {name: shelf.samples[i] for name, i in ids.items() if shelf.expires[i] > now}
        return {name: replace(sample, raw=b"", inputs=(), outputs=()) for name, sample in alive.items()}

    async def enforce(self, model: str, rules: Rules) -> int:
        shelf, now = self._shelves.get(model, Shelf()), self._clock()
        gone = [i for i in shelf.ids if _forbidden(shelf.samples[i], rules, now) or shelf.expires[i] <= now]
        for sample_id in gone:
            shelf.remove(sample_id)
        while shelf.bytes > rules.max_bytes:
            shelf.remove(shelf.ids[0])
        return shelf.bytes

    async def sizes(self) -> Mapping[str, int]:
        for shelf in self._shelves.values():
            shelf.expire(self._clock())
        return {model: shelf.bytes for model, shelf in self._shelves.items()}

    async def close(self) -> None:
        self._shelves.clear()

    def _matching(self, query: Query) -> list[Sample]:
        shelf, now = self._shelves.get(query.model, Shelf()), self._clock()
        at = bisect.bisect_left(shelf.ids, query.before) if query.before else len(shelf.ids)
        found: list[Sample] = []
        while at > 0 and len(found) < query.limit:
            at -= 1
            sample = shelf.samples[shelf.ids[at]]
            if shelf.expires[sample.id] > now and _answers(sample, query):
                found.append(sample)
        return found


def _answers(sample: Sample, query: Query) -> bool:
    if query.version and sample.version != query.version:
        return False
    if query.wrong and not (sample.told and sample.told.wrong):
        return False
    return bool(sample.raw) or not query.replayable


def _forbidden(sample: Sample, rules: Rules, now: float) -> bool:
    return rules.opt_out or sample.time <= now - rules.retention or sample.holds(rules.redacted)
