"""Durations as the judge takes them. Pure."""

from __future__ import annotations

import math

from services.monitor.counters import Buckets
from services.monitor.judge.slow import Histogram


def histogram(apart: Buckets) -> Histogram | None:
    """From counts by upper edge, not cumulated; None when there are none."""
    if not any(apart.values()):
        return None
    bounds = tuple(sorted(edge for edge in apart if math.isfinite(edge)))
    counts, total = [], 0
    for bound in bounds:
        total += apart[bound]
        counts.append(total)
    return Histogram(bounds, (*counts, total + apart.get(math.inf, 0)))


def percentiles(apart: Buckets) -> tuple[float, float]:
    """Median and 99th percentile in ms; beyond the last bound it is that bound, and 0 without requests."""
    found = histogram(apart)
    if found is None or not found.bounds:
        return 0.0, 0.0
    last = found.bounds[-1]
    p50, p99 = (found.quantile(part) for part in (0.5, 0.99))
    return (last if p50 is None else p50), (last if p99 is None else p99)


def slower(apart: Buckets, milliseconds: float) -> int | None:
    """How many took that long; None when no bound is there, so that it cannot be said."""
    if milliseconds not in apart:
        return None
    return sum(count for edge, count in apart.items() if edge > milliseconds)
