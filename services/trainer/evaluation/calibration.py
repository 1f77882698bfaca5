"""Are the probabilities true? Of the answers given with confidence 0.8, eight of ten should be right.

The confidence is the probability of the class that the version chose, the event that it is right.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from services.trainer.evaluation import intervals
from services.trainer.evaluation.answers import Array, Classification
from services.trainer.evaluation.documents import Document
from services.trainer.evaluation.estimate import Setting
from services.trainer.evaluation.resampling import Statistic


@dataclass(frozen=True)
class Bin(Document):
    """Rows whose confidence is above `low` and at most `high`; bins without rows are left out."""

    low: float
    high: float
    rows: int
    confidence: float  # their mean
    accuracy: float
    accuracy_low: float  # Wilson's interval
    accuracy_high: float


@dataclass(frozen=True)
class Calibration(Document):
    """The reliability diagram in figures. brier = reliability - resolution + uncertainty + within."""

    ece: float
    largest_gap: float  # |accuracy - confidence| of the worst bin
    brier: float  # mean of (confidence - right)^2
    reliability: float  # how far the bins' confidence is from their accuracy: less is better
    resolution: float  # how far the bins' accuracy is from the whole's: more is better
    uncertainty: float  # accuracy (1 - accuracy): the data's, no model can help it
    within: float  # what is left because confidences differ inside of a bin
    bins: tuple[Bin, ...]


def calibration(answers: Classification, setting: Setting) -> Calibration:
    """Bins of equal width; answers need probabilities.

    Source of the decomposition: Murphy, A new vector partition of the probability score, Journal of Applied
    Meteorology 12 (1973), 595-600; with the rest inside of the bins as in Stephenson, Coelho and Jolliffe, Two extra
    components in the Brier score decomposition, Weather and Forecasting 23 (2008), 752-757.
    """
    confidence, right, place = _binned(answers, setting.bins)
    used, rows = np.unique(place, return_counts=True)
    means = np.bincount(place, weights=confidence)[used] / rows
    hits = np.bincount(place, weights=right)[used]
    shares, base, part = hits / rows, right.mean(), rows / len(right)
    brier = float(np.mean((confidence - right) ** 2))
    reliability, resolution = float(part @ (means - shares) ** 2), float(part @ (shares - base) ** 2)
    uncertainty = float(base * (1 - base))
    gaps = np.abs(means - shares)
    return Calibration(
        ece=float(part @ gaps),
        largest_gap=float(gaps.max()),
        brier=brier,
        reliability=reliability,
        resolution=resolution,
        uncertainty=uncertainty,
        within=brier - (reliability - resolution + uncertainty),
        bins=tuple(
            _bin(int(at), int(n), float(mean), int(hit), setting)
            for at, n, mean, hit in zip(used, rows, means, hits, strict=True)
        ),
    )


def _bin(place: int, rows: int, confidence: float, hits: int, setting: Setting) -> Bin:
    ends = intervals.wilson(hits, rows, setting.level)
    low, high = place / setting.bins, (place + 1) / setting.bins
    return Bin(low, high, rows, confidence, hits / rows, ends.low, ends.high)


def ece(answers: Classification, bins: int) -> float:
    """Expected calibration error: the mean of |accuracy - confidence| over the bins, by their rows.

    Source: Guo, Pleiss, Sun and Weinberger, On Calibration of Modern Neural Networks, ICML 2017, arXiv:1706.04599. On
    few rows it is too large also for a perfect model, as noise does not cancel: its interval errs to the high side.
    """
    return float(ece_statistic(answers, bins)(np.ones((1, answers.rows)))[0])


def ece_statistic(answers: Classification, bins: int) -> Statistic:
    """The same, weighted: |sum of (right - confidence)| of each bin, over all rows."""
    confidence, right, place = _binned(answers, bins)
    over = np.zeros((len(place), bins))
    over[np.arange(len(place)), place] = right - confidence
    return lambda weights: np.abs(weights @ over).sum(axis=1) / weights.sum(axis=1)


def _binned(answers: Classification, bins: int) -> tuple[Array, Array, Array]:
    """Confidence, right (as float64) and bin of each row, (n,) each."""
    if answers.probabilities is None:
        raise ValueError("the answers are classes without probabilities")
    confidence = answers.probabilities[np.arange(answers.rows), answers.predicted]
    place = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
    return confidence, answers.right.astype(np.float64), place
