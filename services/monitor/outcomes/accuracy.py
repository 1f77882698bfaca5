"""How often each version was right lately."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

BUCKET_SECONDS = 60
WINDOW_SECONDS = 3600
MAX_VERSIONS = 2000


class Tally(NamedTuple):
    """Outcomes of a version, and how many of them were wrong."""

    outcomes: int = 0
    wrong: int = 0


class Accuracy:
    """Counts by version and minute, over the last hour by when outcomes came, and in all since the start."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._minutes: dict[tuple[str, int], dict[int, Tally]] = {}
        self.totals: Counter[tuple[str, int, bool]] = Counter()

    def add(self, model: str, version: int, *, wrong: bool, at: float | None = None) -> None:
        """One outcome, come now or `at`."""
        minutes = self._minutes_of(model, version)
        minute = int((self._clock() if at is None else at) // BUCKET_SECONDS)
        known = minutes.get(minute, Tally())
        minutes[minute] = Tally(known.outcomes + 1, known.wrong + wrong)
        self.totals[model, version, wrong] += 1
        for past in [m for m in minutes if m <= minute - WINDOW_SECONDS // BUCKET_SECONDS]:
            del minutes[past]

    def _minutes_of(self, model: str, version: int) -> dict[int, Tally]:
        """Who reports says which version it was: any number of versions that never were may not fill the memory."""
        if (model, version) not in self._minutes and len(self._minutes) >= MAX_VERSIONS:
            oldest = next(iter(self._minutes))
            del self._minutes[oldest]
            for wrong in (False, True):
                self.totals.pop((*oldest, wrong), None)
        return self._minutes.setdefault((model, version), {})

    def of(self, model: str, version: int) -> Tally:
        """The last hour."""
        since = (self._clock() - WINDOW_SECONDS) // BUCKET_SECONDS
        tallies = [t for minute, t in self._minutes.get((model, version), {}).items() if minute > since]
        return Tally(sum(t.outcomes for t in tallies), sum(t.wrong for t in tallies))
