"""The bootstrap of rows, many resamples at a time: a resample is a row of weights, a statistic works on all at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from bmase.lazily import lazily

from services.trainer.evaluation.estimate import Bounds, Setting

stats: Any = lazily("scipy.stats")

Array = np.ndarray
# From weights (resamples, rows), how often each row was drawn, to the statistic (resamples,); nan where it has none.
Statistic = Callable[[Array], Array]

CELLS = 4_000_000  # weights held at a time: 32 MB
RESOLVED = 10  # resamples beyond an end, for the end to be read off them
PLAIN = 0.95  # the level from which farther ends are extrapolated


def replicates(statistic: Statistic, rows: int, setting: Setting) -> Array:
    """The statistic on each resample (resamples,).

    Source: Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapters 6 and 13.
    """
    random = np.random.default_rng(setting.seed)
    at_once = max(1, min(setting.resamples, CELLS // rows))
    parts = []
    for start in range(0, setting.resamples, at_once):
        parts.append(statistic(drawn(random, min(at_once, setting.resamples - start), rows)))
    return np.concatenate(parts)


def drawn(random: np.random.Generator, resamples: int, rows: int) -> Array:
    """How often each row was drawn, (resamples, rows) float64; each resample sums to `rows`."""
    picked = random.integers(rows, size=(resamples, rows))
    picked += np.arange(resamples)[:, None] * rows
    return np.bincount(picked.ravel(), minlength=resamples * rows).reshape(resamples, rows).astype(np.float64)


def percentile(found: Array, value: float, level: float) -> Bounds:
    """The middle part of the replicates, and the value itself in any case.

    Ends that lie too far out for the number of resamples are put where the normal distribution has them, from the
    ends of the 95 % interval.
    """
    found = found[np.isfinite(found)]
    if not len(found):
        return Bounds(-np.inf, np.inf)
    resolved = (1 - level) / 2 * len(found) >= RESOLVED
    tail = (1 - (level if resolved else min(level, PLAIN))) / 2
    low, high = (float(end) for end in np.quantile(found, (tail, 1 - tail)))
    stretch = 1.0 if resolved else float(stats.norm.ppf((1 + level) / 2) / stats.norm.ppf(1 - tail))
    low, high = min(low, value), max(high, value)
    return Bounds(value - stretch * (value - low), value + stretch * (high - value))


def outer(found: Array, value: float, level: float) -> Bounds:
    """Percentiles and their mirror image at the value, whichever is farther out.

    For statistics that resampling makes larger than they are, such as sums of distances: percentiles alone have their
    low end too high.
    """
    plain = percentile(found, value, level)
    return Bounds(min(plain.low, 2 * value - plain.high), max(plain.high, 2 * value - plain.low))
