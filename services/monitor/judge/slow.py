"""What counts as slow, from the stable version before the release; fixed then, so that nobody can move it later."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from itertools import pairwise

QUANTILE = 0.99
FACTOR = 2.0
AT_LEAST_MORE_MS = 5.0
ENOUGH = 200  # below that the slowest two requests would be the 99th percentile


@dataclass(frozen=True)
class Histogram:
    """Durations as Prometheus has them: how many were at most each bound; the last count is of all."""

    bounds: tuple[float, ...]  # milliseconds, rising, without the infinite one
    counts: tuple[int, ...]  # cumulative, one more than bounds

    def __post_init__(self) -> None:
        if len(self.counts) != len(self.bounds) + 1 or any(a > b for a, b in pairwise((0, *self.counts))):
            raise ValueError("counts have to be cumulative, with one more than there are bounds")

    @property
    def total(self) -> int:
        return self.counts[-1]

    def quantile(self, part: float) -> float | None:
        """Interpolated within its bucket; None without requests, and when it is beyond the last bound."""
        rank = part * self.total
        bucket = bisect_left(self.counts, rank)
        if self.total == 0 or bucket == len(self.bounds):
            return None
        low, high = self.bounds[bucket - 1] if bucket else 0.0, self.bounds[bucket]
        before, inside = (self.counts[bucket - 1], self.counts[bucket]) if bucket else (0, self.counts[0])
        return low + (high - low) * (rank - before) / max(1, inside - before)

    def above(self, milliseconds: float) -> int:
        """How many took longer: exact for a bound, else those that surely did."""
        bucket = bisect_left(self.bounds, milliseconds)
        return self.total - self.counts[bucket]


def threshold(before: Histogram) -> float | None:
    """Milliseconds; None when there is too little to tell, and then slowness is not judged.

    Twice the 99th percentile and at least 5 ms more, up to the next bound of the histogram: so the gateways' counters
    and the requests that they report mean the same by slow.
    """
    p99 = before.quantile(QUANTILE) if before.total >= ENOUGH else None
    if p99 is None:
        return None
    wanted = max(FACTOR * p99, p99 + AT_LEAST_MORE_MS)
    return next((bound for bound in before.bounds if bound >= wanted), None)
