"""The mean loss of a weighted average of members, as a convex function of the weights, with its gradient.

Both losses are proper: their expectation is least for the true probabilities, or the true mean. Both are convex in
the weights, since the average is linear in them: a minimum on the simplex is the minimum.
Source: Gneiting and Raftery, Strictly proper scoring rules, prediction, and estimation, JASA 102 (2007), 359-378.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, Self

import numpy as np

from services.trainer.ensembles.rows import Checked, Kind

# A member that gives 0 to what happened would lose infinitely much by one row; 16.1 is enough.
FLOOR = 1e-7


class Loss(Protocol):
    """The loss of members' averages on fixed rows; weights are (members,), not negative, with sum 1."""

    @property
    def members(self) -> int: ...

    def rows(self, weights: np.ndarray) -> np.ndarray:
        """The loss of each row, (n,)."""
        ...

    def mean(self, weights: np.ndarray) -> tuple[float, np.ndarray]:
        """The mean over rows, and its gradient (members,)."""
        ...

    def take(self, rows: np.ndarray) -> Self:
        """The same on some of the rows, given by index or mask."""
        ...


@dataclass(frozen=True, eq=False)
class LogLoss:
    """-log of the probability that was given to what happened, in nats; `given` is (n, members)."""

    given: np.ndarray

    @property
    def members(self) -> int:
        return int(self.given.shape[1])

    def rows(self, weights: np.ndarray) -> np.ndarray:
        return np.asarray(-np.log(self.given @ weights))

    def mean(self, weights: np.ndarray) -> tuple[float, np.ndarray]:
        average = self.given @ weights
        return float(-np.log(average).mean()), -(self.given / average[:, None]).mean(axis=0)

    def take(self, rows: np.ndarray) -> LogLoss:
        return LogLoss(self.given[rows])


@dataclass(frozen=True, eq=False)
class SquaredLoss:
    """The squared error, averaged over the k numbers of a row; `errors` is (n, members, k).

    Weights sum to 1, so the error of the average is the average of the errors: the mean is the quadratic form of the
    errors' second moments, which keeps its digits however far the labels are from 0.
    """

    errors: np.ndarray
    moments: np.ndarray

    @classmethod
    def of(cls, errors: np.ndarray) -> SquaredLoss:
        n, members, k = errors.shape
        flat = errors.transpose(1, 0, 2).reshape(members, n * k)
        return cls(errors, flat @ flat.T / (n * k))

    @property
    def members(self) -> int:
        return int(self.errors.shape[1])

    def rows(self, weights: np.ndarray) -> np.ndarray:
        return np.asarray((np.einsum("nmk,m->nk", self.errors, weights) ** 2).mean(axis=1))

    def mean(self, weights: np.ndarray) -> tuple[float, np.ndarray]:
        half = self.moments @ weights
        return float(weights @ half), 2 * half

    def take(self, rows: np.ndarray) -> SquaredLoss:
        return SquaredLoss.of(self.errors[rows])


def loss_of(rows: Checked, kind: Kind) -> LogLoss | SquaredLoss:
    """The proper loss for this kind of prediction."""
    if kind is Kind.NUMBERS:
        return SquaredLoss.of(np.stack([np.subtract(p, rows.labels, dtype=float) for p in rows.predictions], axis=1))
    given = np.column_stack([_given(p, rows.labels) for p in rows.predictions])
    return LogLoss(np.clip(given, FLOOR, 1.0))


def _given(predictions: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(n,): what a member gave to the class that happened, of the 1 that it had to give."""
    if predictions.shape[1] == 1:
        positive = predictions[:, 0].astype(float)
        return np.asarray(np.where(labels == 1, positive, 1 - positive))
    return np.asarray(predictions[np.arange(len(labels)), labels] / predictions.sum(axis=1, dtype=float))
