"""Metrics of classification. Values are scikit-learn's; the weighted forms beside them are for the bootstrap."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from bmase.lazily import lazily

from services.trainer.evaluation import intervals
from services.trainer.evaluation.answers import Array, Classification, Task
from services.trainer.evaluation.calibration import ece, ece_statistic
from services.trainer.evaluation.estimate import Better, Bounds, Setting
from services.trainer.evaluation.metrics.metric import Mean, Metric, Resampled, Share
from services.trainer.evaluation.resampling import Statistic, outer

if TYPE_CHECKING:
    from scipy import sparse

scipy_sparse: Any = lazily("scipy.sparse")
sk: Any = lazily("sklearn.metrics")


def needs_probabilities(answers: Classification) -> str:
    """Why not, where it is so."""
    return "" if answers.probabilities is not None else "the answers are classes without probabilities"


def needs_every_class(answers: Classification) -> str:
    """AUROC looks at each class against the rest: both have to be there."""
    if answers.probabilities is None:
        return needs_probabilities(answers)
    absent = np.setdiff1d(np.arange(answers.probabilities.shape[1]), answers.labels)
    return f"no row has the class {answers.name_of(int(absent[0]))}" if len(absent) else ""


def needs_two_classes(answers: Classification) -> str:
    """F1 counts what is wrongly taken for a class: with one class alone that is never seen."""
    alone = answers.labels[0]
    return "" if (answers.labels != alone).any() else f"all rows have the class {answers.name_of(int(alone))}"


def log_losses(answers: Classification) -> Array:
    """Nats of each row (n,): -log of the true class's probability, taken as 2e-16 at least, as in scikit-learn."""
    probabilities = _given(answers)
    own = probabilities[np.arange(answers.rows), answers.labels]
    return -np.log(np.maximum(own, np.finfo(np.float64).eps))


def brier_scores(answers: Classification) -> Array:
    """Squared distance of each row (n,) from the truth; half of it for two classes, as is usual.

    Source: Brier, Verification of forecasts expressed in terms of probability, Monthly Weather Review 78 (1950), 1-3.
    """
    away = _given(answers).copy()
    away[np.arange(answers.rows), answers.labels] -= 1
    squares = (away**2).sum(axis=1)
    return np.asarray(squares / 2 if away.shape[1] == 2 else squares)


def auroc(answers: Classification) -> float:
    """Of the second of two classes; the mean of each class against the rest for more."""
    probabilities = _given(answers)
    if probabilities.shape[1] == 2:
        return float(sk.roc_auc_score(answers.labels, probabilities[:, 1]))
    return float(sk.roc_auc_score(answers.labels, probabilities, multi_class="ovr"))


def auroc_statistic(answers: Classification) -> Statistic:
    """The same, weighted."""
    probabilities = _given(answers)
    columns = (1,) if probabilities.shape[1] == 2 else range(probabilities.shape[1])
    each = [_ranked(probabilities[:, column], answers.labels == column) for column in columns]
    return lambda weights: np.mean([one(weights) for one in each], axis=0)


def _ranked(scores: Array, positive: Array) -> Statistic:
    """The share of pairs in the right order, ties by half (Mann-Whitney)."""
    order = np.argsort(scores, kind="stable")
    negative, places = ~positive[order], np.flatnonzero(positive[order])
    # Of each positive row: how many rows have a lower score, and how many none that is higher.
    lower = np.searchsorted(scores[order], scores[order][places], side="left")
    not_higher = np.searchsorted(scores[order], scores[order][places], side="right")

    def statistic(weights: Array) -> Array:
        ordered = np.take(weights, order, axis=1)
        passed = np.zeros((len(weights), len(scores) + 1))
        np.cumsum(ordered * negative, axis=1, out=passed[:, 1:])
        own = np.take(ordered, places, axis=1)
        pairs = (own * (np.take(passed, lower, axis=1) + np.take(passed, not_higher, axis=1))).sum(axis=1) / 2
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(pairs / (own.sum(axis=1) * passed[:, -1]))

    return statistic


def balanced_accuracy(answers: Classification) -> float:
    """The mean of the classes' recalls, over the classes that the truth has."""
    hits, rows = _recalls(answers)
    return float(np.mean(hits / rows))


def _recalls(answers: Classification) -> tuple[Array, Array]:
    rows = np.bincount(answers.labels)
    hits = np.bincount(answers.labels, weights=answers.right, minlength=len(rows))
    return hits[rows > 0], rows[rows > 0]


def _balanced_ends(answers: Classification, level: float) -> Bounds:
    return intervals.mean_of_shares(*_recalls(answers), level)


def balanced_statistic(answers: Classification) -> Statistic:
    """The same, weighted."""
    count = int(answers.labels.max()) + 1
    true, hits = _indicators(answers.labels, count), _indicators(answers.labels, count, answers.right)
    return lambda weights: _mean_share((hits @ weights.T), (true @ weights.T))


def macro_f1(answers: Classification) -> float:
    """The mean of F1 over the classes that the truth or the answers have."""
    return float(sk.f1_score(answers.labels, answers.predicted, average="macro", zero_division=0.0))


def f1_statistic(answers: Classification) -> Statistic:
    """The same, weighted: a class's F1 is 2 hits / (rows of the truth + rows of the answers)."""
    count = int(max(answers.labels.max(), answers.predicted.max())) + 1
    hits = _indicators(answers.labels, count, answers.right)
    both = _indicators(answers.labels, count) + _indicators(answers.predicted, count)
    return lambda weights: _mean_share(2 * (hits @ weights.T), (both @ weights.T))


def _indicators(classes: Array, count: int, chosen: Array | None = None) -> sparse.csr_array:
    """(classes, rows): one where the row has the class (and is chosen)."""
    ones = np.ones(len(classes)) if chosen is None else chosen.astype(np.float64)
    return scipy_sparse.csr_array((ones, (classes, np.arange(len(classes)))), shape=(count, len(classes)))


def _mean_share(parts: Array, wholes: Array) -> Array:
    """Mean over the classes (first axis) that have a whole."""
    shares = np.divide(parts, wholes, out=np.zeros_like(parts), where=wholes > 0)
    return np.asarray(shares.sum(axis=0) / (wholes > 0).sum(axis=0))


def _smallest_class(answers: Classification) -> int:
    return int(_recalls(answers)[1].min())


def _given(answers: Classification) -> Array:
    if answers.probabilities is None:
        raise ValueError(needs_probabilities(answers))
    return answers.probabilities


def found(setting: Setting) -> tuple[Metric, ...]:
    """All of them; only the calibration error depends on the setting."""
    task = Task.CLASSIFICATION
    lower = Better.LOWER
    return (
        Share("accuracy", task, hits=lambda answers: answers.right),
        Resampled(
            "balanced_accuracy",
            task,
            point=balanced_accuracy,
            statistic=balanced_statistic,
            closed=_balanced_ends,
            formula="Zou-Donner of Wilson",
            trials=_smallest_class,
        ),
        Resampled(
            "macro_f1",
            task,
            missing=needs_two_classes,
            point=macro_f1,
            statistic=f1_statistic,
            trials=_smallest_class,
        ),
        Mean("log_loss", task, lower, largest=np.inf, missing=needs_probabilities, each=log_losses),
        Resampled(
            "auroc",
            task,
            missing=needs_every_class,
            point=auroc,
            statistic=auroc_statistic,
            trials=_smallest_class,
        ),
        Mean("brier", task, lower, largest=2.0, missing=needs_probabilities, each=brier_scores),
        Resampled(
            "ece",
            task,
            lower,
            missing=needs_probabilities,
            point=partial(ece, bins=setting.bins),
            statistic=partial(ece_statistic, bins=setting.bins),
            read=outer,
        ),
    )
