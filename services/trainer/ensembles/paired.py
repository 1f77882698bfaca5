"""Intervals of means over rows that may belong together.

The variance is that of sums over groups (cluster-robust), the quantile that of Student's t with one degree of freedom
less than there are groups; where each row is a group of its own, this is the ordinary t interval. Given the row-wise
difference of two losses it is the paired comparison, in which what is hard about a row cancels.
Source: Cameron and Miller, A practitioner's guide to cluster-robust inference, J. Human Resources 50 (2015), 317-372.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.stats import t


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean and the ends of its two-sided confidence interval, in the unit of the values."""

    mean: float
    lower: float
    upper: float


def standard_error(values: np.ndarray, units: np.ndarray) -> float:
    """Of the mean of `values` (n,), where rows with an equal number in `units` (n,) are one observation."""
    sums = np.bincount(units, weights=values - values.mean())
    count = len(sums)
    return math.sqrt(count / (count - 1) * float(sums @ sums)) / len(values)


def interval(values: np.ndarray, units: np.ndarray, confidence: float) -> Interval:
    """The mean of `values` with an interval that holds it with probability `confidence`; at least two units."""
    mean = float(values.mean())
    half = float(t.ppf((1 + confidence) / 2, int(units.max()))) * standard_error(values, units)
    return Interval(mean, mean - half, mean + half)
