"""Metrics of regression. Values are scikit-learn's; the weighted forms beside them are for the bootstrap."""

from __future__ import annotations

from typing import Any

import numpy as np
from bmase.lazily import lazily

from services.trainer.evaluation.answers import Array, Regression, Task
from services.trainer.evaluation.estimate import Better
from services.trainer.evaluation.metrics.metric import Mean, Metric, Resampled
from services.trainer.evaluation.resampling import Statistic

sk: Any = lazily("sklearn.metrics")


def absolute_errors(answers: Regression) -> Array:
    """(n,), in the target's unit."""
    return np.abs(answers.targets - answers.predicted)


def rmse(answers: Regression) -> float:
    """In the target's unit."""
    return float(sk.root_mean_squared_error(answers.targets, answers.predicted))


def rmse_statistic(answers: Regression) -> Statistic:
    """The same, weighted."""
    squares = (answers.targets - answers.predicted) ** 2
    return lambda weights: np.sqrt(weights @ squares / weights.sum(axis=1))


def needs_spread(answers: Regression) -> str:
    """R2 is the part of the targets' variance that is explained: there has to be some."""
    return "" if np.ptp(answers.targets) > 0 else "all targets are the same number"


def r2(answers: Regression) -> float:
    """1 - squared errors / squared distances of the targets from their mean."""
    return float(sk.r2_score(answers.targets, answers.predicted))


def r2_statistic(answers: Regression) -> Statistic:
    """The same, weighted; the targets are centred first, so that nothing is lost in large means."""
    targets = answers.targets - answers.targets.mean()
    squares = (answers.targets - answers.predicted) ** 2

    def statistic(weights: Array) -> Array:
        total = weights.sum(axis=1)
        spread = weights @ targets**2 - (weights @ targets) ** 2 / total
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(spread > 0, 1 - weights @ squares / spread, np.nan)

    return statistic


FOUND: tuple[Metric, ...] = (
    Mean("mae", Task.REGRESSION, Better.LOWER, largest=np.inf, each=absolute_errors),
    Resampled("rmse", Task.REGRESSION, Better.LOWER, largest=np.inf, point=rmse, statistic=rmse_statistic),
    Resampled("r2", Task.REGRESSION, smallest=-np.inf, missing=needs_spread, point=r2, statistic=r2_statistic),
)
