"""Bad requests that wait until those that began before them are known. Pure.

Who got the *next* bad request has to be asked in the order in which requests were assigned. They are told when they
end: of a version that fails at once before those of one that fails by a timeout, though as many of both began. So each
waits, from its beginning on, as long as one may take to end and to be told.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping
from dataclasses import astuple
from typing import Any, Self

from services.monitor.intake.events import BadEvent
from services.monitor.judge.slow import Histogram

# Gateways tell within 0.1 s of the end; twice that for the way.
TOLD_SECONDS = 0.2
MOST_SECONDS = 30.0
MAX_EVENTS = 10_000
USUAL = 0.999  # of the stable version's requests ended so quickly before the start


class Waiting:
    """Events of one kind, by when they began. `longest`: seconds that a request of either version may take."""

    def __init__(self, longest: float = 0.0) -> None:
        self._longest = longest
        self._events: list[tuple[float, int, BadEvent]] = []
        self._number = 0

    @classmethod
    def begin(cls, before: Histogram | None) -> Self:
        """`before`: durations of the stable version."""
        if before is None or not before.total:
            return cls()
        usual = before.quantile(USUAL)
        return cls((before.bounds[-1] if usual is None and before.bounds else usual or 0.0) / 1000)

    @property
    def patience(self) -> float:
        """Seconds from the beginning of a request until it is judged; grows with the longest bad one."""
        return min(MOST_SECONDS, self._longest + TOLD_SECONDS)

    def put(self, event: BadEvent) -> None:
        """One bad request that ended."""
        self._longest = max(self._longest, event.duration_ms / 1000)
        heapq.heappush(self._events, (event.time, self._number, event))
        self._number += 1

    def due(self, now: float) -> Iterator[BadEvent]:
        """Those that have waited long enough, in the order in which they began; the oldest when there are too many."""
        while self._events and (self._events[0][0] <= now - self.patience or len(self._events) > MAX_EVENTS):
            yield heapq.heappop(self._events)[2]

    def clear(self) -> None:
        """Forgets who waits."""
        self._events.clear()

    def to_json(self) -> dict[str, Any]:
        return {"longest": self._longest, "events": [astuple(event) for _, _, event in sorted(self._events)]}

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> Self:
        """Raises KeyError, TypeError or ValueError when it is not what `to_json` made."""
        made = cls(float(kept["longest"]))
        for event in kept["events"]:
            made.put(BadEvent(*event))
        return made
