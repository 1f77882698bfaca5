"""Bounds of a share that may lie anywhere, which hold at every moment of a growing count at once.

As `services.monitor.judge.bounds` (Robbins 1970; the sources are there), with a mixture that has its weight at both
ends instead of on small rates: two versions mostly agree, or mostly do not. A share p is inside as long as

    B(k + 1/2, n - k + 1/2) / B(1/2, 1/2)  <  p^k (1 - p)^(n - k) / alpha       after k of n

so that progress may be read and acted upon before the end.
"""

from __future__ import annotations

import math
from collections.abc import Callable

STEPS = 60


def interval(hits: int, trials: int, alpha: float) -> tuple[float, float]:
    """Lower and upper bound of the share, both right with a chance of 1 - alpha; (0, 1) when nothing was tried."""
    if trials == 0:
        return 0.0, 1.0
    limit = _log_beta(hits + 0.5, trials - hits + 0.5) - _log_beta(0.5, 0.5) + math.log(alpha)

    def inside(share: float) -> bool:
        return _log_likelihood(hits, trials, share) > limit

    best = hits / trials
    low = 0.0 if hits == 0 else _edge(inside, best, 0.0)
    high = 1.0 if hits == trials else _edge(inside, best, 1.0)
    return low, high


def _edge(inside: Callable[[float], bool], within: float, without: float) -> float:
    """The border, on its outer side: the likelihood has one peak."""
    for _ in range(STEPS):
        middle = (within + without) / 2
        within, without = (middle, without) if inside(middle) else (within, middle)
    return without


def _log_likelihood(hits: int, trials: int, share: float) -> float:
    if not 0 < share < 1:
        return -math.inf
    return hits * math.log(share) + (trials - hits) * math.log1p(-share)


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)
