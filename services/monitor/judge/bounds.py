"""Bounds of a rate that hold at all times at once, so that one may stop when they are good enough.

For the true rate q, M(n) = B(a + x, b + n - x) / B(a, b) / (q^x (1 - q)^(n - x)) after x bad of n requests is a
martingale that starts at 1: the rate is mixed over a Beta(a, b) distribution. With probability 1 - alpha it never
reaches 1/alpha, so all q for which it has not are a confidence sequence. Source: Robbins, Statistical Methods
Related to the Law of the Iterated Logarithm, Annals of Mathematical Statistics 41 (1970), 1397-1409; Howard, Ramdas,
McAuliffe and Sekhon, Time-uniform, nonparametric, nonasymptotic confidence sequences, Annals of Statistics 49
(2021), arXiv:1810.08240.

It supposes a rate that stays the same. Where it moves, the bounds are about its mean and become wider than needed at
any one time (the sum of unlike trials varies less than that of like ones). Bad requests that come in clusters are
not covered; the bench shows what they do."""

from __future__ import annotations

import math

# The mixture has most of its weight on rates of a few per cent, where margins are.
A, B = 0.5, 25.0
STEPS = 45  # of halving: 3e-14


def log_martingale(bad: float, total: float, rate: float) -> float:
    """log M for a rate strictly between 0 and 1."""
    return _log_mixture(bad, total) - bad * math.log(rate) - (total - bad) * math.log1p(-rate)


def _log_mixture(bad: float, total: float) -> float:
    return _log_beta(A + bad, B + total - bad) - _log_beta(A, B)


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)


def upper(bad: float, total: float, alpha: float) -> float:
    """The rate is at most this; 1 without data."""
    return _edge(bad, total, alpha, 1.0)


def lower(bad: float, total: float, alpha: float) -> float:
    """The rate is at least this; 0 without data."""
    return _edge(bad, total, alpha, 0.0)


def _edge(bad: float, total: float, alpha: float, outside: float) -> float:
    """Between what was seen and the far end M grows; halve towards where it is 1/alpha, staying on the safe side."""
    if total == 0 or bad == total * outside:
        return outside
    inside = bad / total
    bar = -math.log(alpha) - _log_mixture(bad, total)
    for _ in range(STEPS):
        middle = (inside + outside) / 2
        if not 0 < middle < 1:  # too close to the end for a float
            break
        if -bad * math.log(middle) - (total - bad) * math.log1p(-middle) < bar:
            inside = middle
        else:
            outside = middle
    return outside
