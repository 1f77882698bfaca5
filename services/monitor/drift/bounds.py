"""Bounds that hold at every look at once. Pure.

`radius`: the two-sided normal mixture for sums of sub-Gaussian steps (Robbins, "Statistical methods related to the law
of the iterated logarithm", 1970; in this form Howard, Ramdas, McAuliffe and Sekhon, "Time-uniform, nonparametric,
nonasymptotic confidence sequences", Annals of Statistics 2021, arXiv 1810.08240, equation 14). The indicator of an
event is sub-Gaussian with variance 1/4 (Hoeffding), whatever its probability.
`dkw`: Dvoretzky, Kiefer and Wolfowitz with the constant of Massart, "The tight constant in the DKW inequality", 1990.
`share_evidence`: a mixture of likelihood ratios, an e-process for "the share is at most this" (Ville, 1939).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

TUNED_ROWS = 1000  # the radius is smallest, for what it promises, about here
_RATIOS = (1.5, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0)


@dataclass(frozen=True)
class Budget:
    """How `alpha` is spent: one half on the reference, once; the other on live windows 1, 2, 3, ... as 1/(k (k+1)).

    Both halves are divided by the number of features. The sum over everything is alpha, however many windows there are.
    """

    alpha: float
    features: int
    window: int

    @property
    def log_reference(self) -> float:
        """Logarithm of a feature's part for the reference."""
        return math.log(self.alpha / 2 / self.features)

    @property
    def log_live(self) -> float:
        """Logarithm of a feature's part for the present window."""
        return self.log_reference - math.log(self.window * (self.window + 1))


def radius(rows: np.ndarray, log_alpha: float) -> np.ndarray:
    """By how much a share of `rows` independent rows is off at most, at all numbers of rows at once; 1 at none."""
    tuned = TUNED_ROWS / 4
    rho = tuned / (-2 * log_alpha + math.log(1 - 2 * log_alpha))
    v = np.asarray(rows, np.float64) / 4
    bound = np.sqrt((v + rho) * (np.log1p(v / rho) - 2 * log_alpha))
    return np.minimum(1.0, bound / np.maximum(4 * v, 1e-9))


def dkw(rows: np.ndarray, log_alpha: float) -> np.ndarray:
    """By how much the distribution function of `rows` independent rows is off at most, anywhere; 1 at none."""
    with np.errstate(divide="ignore"):
        return np.minimum(1.0, np.sqrt((math.log(2) - log_alpha) / (2 * np.asarray(rows, np.float64))))


def log_subsets(groups: int) -> float:
    """Logarithm of the number of ways to part `groups` in two: total variation is the largest difference over them."""
    return max(0, groups - 1) * math.log(2)


def share_evidence(hits: np.ndarray, rows: np.ndarray, limit: np.ndarray) -> np.ndarray:
    """Logarithm of the evidence that the share of hits is above `limit` (0 < limit < 1).

    While it is not above, the chance that this ever reaches log(1/a) is at most a.
    """
    hits, rows = np.asarray(hits, np.float64), np.asarray(rows, np.float64)
    shares = [1 - (1 - limit) / ratio for ratio in _RATIOS] + [np.minimum(limit * r, (1 + limit) / 2) for r in _RATIOS]
    logs = np.stack([hits * np.log(q / limit) + (rows - hits) * np.log((1 - q) / (1 - limit)) for q in shares])
    top = logs.max(axis=0)
    return top + np.log(np.exp(logs - top).mean(axis=0))
