"""How far the tuned weights can be trusted, by cross-fitting: the guard against overfitting.

Candidates lie on straight lines from an anchor, the best single member or equal weights, to the optimum of the rows.
Each is fitted without a fold and judged on that fold. Of those within one standard error of the best the simplest is
taken, so that weights are tuned only where tuning shows on rows it has not seen.
Sources: Breiman, Stacked regressions, Machine Learning 24 (1996), 49-64; van der Laan, Polley and Hubbard, Super
learner, Stat. Appl. Genet. Mol. Biol. 6 (2007); the one-standard-error rule: Breiman, Friedman, Olshen and Stone,
Classification and Regression Trees (1984), section 3.4.3.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from services.trainer.ensembles.loss import Loss
from services.trainer.ensembles.paired import Interval, interval, standard_error
from services.trainer.ensembles.solve import Solution, best_single, equal, minimise, single

# Differences of losses this small, relative to the loss, are rounding.
ROUNDING = 1e-9


class Anchor(StrEnum):
    """Where weights are shrunk to."""

    SINGLE = "single"  # the member that is best on the rows fitted to
    EQUAL = "equal"


@dataclass(frozen=True, slots=True)
class Candidate:
    """The way `strength` of 1 from the anchor to the optimum: 0 is the anchor, 1 the optimum."""

    anchor: Anchor
    strength: float


# From simple to bold: one member costs least to serve, equal weights learn nothing from the rows.
CANDIDATES = (
    Candidate(Anchor.SINGLE, 0.0),
    Candidate(Anchor.EQUAL, 0.0),
    *(Candidate(anchor, strength) for strength in (0.25, 0.5, 0.75) for anchor in (Anchor.EQUAL, Anchor.SINGLE)),
    Candidate(Anchor.EQUAL, 1.0),
)


@dataclass(frozen=True, eq=False)
class Fit:
    """What the rows say by themselves."""

    best: int
    optimum: Solution

    def weights(self, candidate: Candidate, negligible: float) -> np.ndarray:
        """The candidate's weights; a weight below `negligible` of an equal share is not worth a member's run."""
        members = len(self.optimum.weights)
        anchor = equal(members) if candidate.anchor is Anchor.EQUAL else single(members, self.best)
        mixed = (1 - candidate.strength) * anchor + candidate.strength * self.optimum.weights
        kept = np.where(mixed < negligible / members, 0.0, mixed)
        return np.asarray(kept / kept.sum())


@dataclass(frozen=True, eq=False)
class Choice:
    """The weights that the tuning rows justify.

    `gain` is how much lower the loss of this candidate is than that of the best single member, both fitted without
    the rows they are judged on. It is an estimate: folds share rows, and the candidate was chosen by it.
    `naive_gain` is what the optimum seems to gain on the rows it was fitted to.
    """

    weights: np.ndarray
    candidate: Candidate
    best: int
    gain: Interval
    naive_gain: float
    gap: float


def choose(loss: Loss, units: np.ndarray, *, folds: int, seed: int, confidence: float, negligible: float) -> Choice:
    """The simplest candidate that is not worse than the best one can tell; equal arguments, equal choice."""
    losses = _cross_fitted(loss, _folds(units, folds, seed), negligible)
    chosen = _simplest(losses, units)
    fit = _fit(loss)
    alone = loss.mean(single(loss.members, fit.best))[0]
    return Choice(
        weights=fit.weights(CANDIDATES[chosen], negligible),
        candidate=CANDIDATES[chosen],
        best=fit.best,
        gain=interval(losses[:, 0] - losses[:, chosen], units, confidence),
        naive_gain=alone - fit.optimum.loss,
        gap=fit.optimum.gap,
    )


def _fit(loss: Loss) -> Fit:
    return Fit(best_single(loss), minimise(loss))


def _folds(units: np.ndarray, folds: int, seed: int) -> np.ndarray:
    """(n,): the fold of each row; rows of one unit are in one fold, and folds have as many units as each other."""
    count = int(units.max()) + 1
    order = np.random.default_rng(seed).permutation(count)
    return np.asarray((order % min(folds, count))[units])


def _cross_fitted(loss: Loss, fold: np.ndarray, negligible: float) -> np.ndarray:
    """(n, candidates): losses of rows by weights that have not seen the row's fold."""
    losses = np.empty((len(fold), len(CANDIDATES)))
    for each in range(int(fold.max()) + 1):
        held = fold == each
        fit, unseen = _fit(loss.take(~held)), loss.take(held)
        for column, candidate in enumerate(CANDIDATES):
            losses[held, column] = unseen.rows(fit.weights(candidate, negligible))
    return losses


def _simplest(losses: np.ndarray, units: np.ndarray) -> int:
    best = int(losses.mean(axis=0).argmin())
    rounding = ROUNDING * abs(float(losses[:, best].mean()))
    for column in range(losses.shape[1]):
        behind = losses[:, column] - losses[:, best]
        if behind.mean() <= standard_error(behind, units) + rounding:
            return column
    return best
