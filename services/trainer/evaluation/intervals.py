"""Closed forms of two-sided intervals: for shares of rows, means of rows, ratios of sums, and means of shares."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from bmase.lazily import lazily

from services.trainer.evaluation.estimate import Bounds

stats: Any = lazily("scipy.stats")

Array = np.ndarray


def wilson(hits: int, rows: int, level: float) -> Bounds:
    """Of a share. Never of width zero, also where all rows or none are hits.

    Source: Wilson, Probable Inference, the Law of Succession, and Statistical Inference, JASA 22 (1927), 209-212.
    """
    found = stats.binomtest(hits, rows).proportion_ci(level, method="wilson")
    return Bounds(float(found.low), float(found.high))


def as_share(value: float, largest: float, rows: int, level: float) -> Bounds:
    """Wilson's interval of value / largest, for means from 0 to `largest` whose rows show no spread at all.

    Conservative: of all rows between 0 and `largest` with one mean, those at the two ends spread most.
    """
    ends = wilson(round(value / largest * rows), rows, level)
    return Bounds(min(value, ends.low * largest), max(value, ends.high * largest))


def student(values: Array, level: float) -> Bounds:
    """Of the mean of the rows (n,) by Student's t; unbounded for a single row."""
    if len(values) == 1:
        return Bounds(-math.inf, math.inf)
    mean = float(np.mean(values))
    half = float(stats.t.ppf((1 + level) / 2, len(values) - 1) * stats.sem(values))
    return Bounds(mean - half, mean + half)


def ratio(above: Array, below: Array, level: float) -> Bounds:
    """Of sum(above) / sum(below) where rows (n,) bring both, by linearisation; unbounded for a single row.

    Source: Cochran, Sampling Techniques, 3rd edition (1977), section 6.3.
    """
    rows = len(above)
    if rows == 1:
        return Bounds(-math.inf, math.inf)
    value = float(above.sum() / below.sum())
    error = math.sqrt(rows / (rows - 1) * float(np.sum((above - value * below) ** 2))) / float(below.sum())
    half = float(stats.t.ppf((1 + level) / 2, rows - 1)) * error
    return Bounds(value - half, value + half)


def mean_of_shares(hits: Array, rows: Array, level: float) -> Bounds:
    """Of the unweighted mean of independent shares hits (k,) of rows (k,), all rows > 0: Wilson's ends put together.

    Source: Zou and Donner, Construction of confidence limits about effect measures: a general approach, Statistics in
    Medicine 27 (2008), 1693-1702.
    """
    ends = [wilson(int(h), int(n), level) for h, n in zip(hits, rows, strict=True)]
    shares = hits / rows
    down = math.sqrt(sum((float(s) - e.low) ** 2 for s, e in zip(shares, ends, strict=True))) / len(shares)
    up = math.sqrt(sum((e.high - float(s)) ** 2 for s, e in zip(shares, ends, strict=True))) / len(shares)
    return Bounds(float(shares.mean()) - down, float(shares.mean()) + up)


def paired_shares(only_first: int, only_second: int, rows: int, level: float) -> Bounds:
    """Of share(first) - share(second) on the same rows, from the rows that are hits of one only. Never of width zero.

    Source: Bonett and Price, Adjusted Wald Confidence Interval for a Difference of Binomial Proportions Based on Paired
    Data, Journal of Educational and Behavioral Statistics 37 (2012), 479-488.
    """
    first, second = (only_first + 1) / (rows + 2), (only_second + 1) / (rows + 2)
    spread = (first + second - (first - second) ** 2) / (rows + 2)
    half = float(stats.norm.ppf((1 + level) / 2)) * math.sqrt(spread)
    return Bounds(first - second - half, first - second + half).within(-1.0, 1.0)


def mcnemar(only_first: int, only_second: int) -> float:
    """Two-sided exact p-value of "both are hits equally often", from the rows that are hits of one only.

    Source: McNemar, Note on the sampling error of the difference between correlated proportions or percentages,
    Psychometrika 12 (1947), 153-157; exact as the binomial test.
    """
    changed = only_first + only_second
    return float(stats.binomtest(only_first, changed, 0.5).pvalue) if changed else 1.0
