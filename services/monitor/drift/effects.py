"""How far apart two distributions over the same bins are. Pure; shares are arrays that add up to 1."""

from __future__ import annotations

import numpy as np


def shares_of(counts: np.ndarray, axis: int = -1) -> np.ndarray:
    """Counts as shares; zeros where nothing was counted."""
    total = counts.sum(axis=axis, keepdims=True)
    return counts / np.maximum(total, 1)


def total_variation(a: np.ndarray, b: np.ndarray) -> float:
    """The largest difference in the probability of any set of bins, 0 to 1."""
    return float(np.abs(a - b).sum() / 2)


def psi(reference: np.ndarray, live: np.ndarray) -> float:
    """Population stability index of two arrays of counts; half a count is added to each bin, so that none is empty."""
    a, b = shares_of(reference + 0.5), shares_of(live + 0.5)
    return float(((b - a) * np.log(b / a)).sum())


def jensen_shannon(a: np.ndarray, b: np.ndarray) -> float:
    """Jensen-Shannon distance, base 2: the root of the divergence, 0 to 1."""
    middle = (a + b) / 2
    divergence = (_divergence(a, middle) + _divergence(b, middle)) / 2
    return float(np.sqrt(min(1.0, max(0.0, divergence))))


def _divergence(a: np.ndarray, b: np.ndarray) -> float:
    there = a > 0
    return float((a[there] * np.log2(a[there] / b[there])).sum())
