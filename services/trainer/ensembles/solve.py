"""The weights with the least mean loss on the simplex, with a proof of how near they are.

For a convex f on the simplex, f(w) - min f <= max over members m of grad f(w) . (w - e_m): the duality gap of Frank
and Wolfe. Whatever the solver says about itself, this says how good its answer is.
Source: Jaggi, Revisiting Frank-Wolfe: projection-free sparse convex optimization, ICML 2013.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize

from services.trainer.ensembles.loss import Loss

ITERATIONS = 300
PRECISION = 1e-12  # of the loss relative to that of equal weights


@dataclass(frozen=True, eq=False)
class Solution:
    """`weights` (members,); no weights have a mean loss lower than `loss` - `gap`."""

    weights: np.ndarray
    loss: float
    gap: float


def equal(members: int) -> np.ndarray:
    """The same weight for each."""
    return np.full(members, 1 / members)


def single(members: int, member: int) -> np.ndarray:
    """All weight on one."""
    weights = np.zeros(members)
    weights[member] = 1.0
    return weights


def best_single(loss: Loss) -> int:
    """The member with the least mean loss by itself; the first of equals."""
    return int(np.argmin([loss.mean(single(loss.members, member))[0] for member in range(loss.members)]))


def minimise(loss: Loss) -> Solution:
    """The optimum; never worse than equal weights or the best single member, even if the solver fails."""
    members = loss.members
    starts = (equal(members), single(members, best_single(loss)))
    scale = loss.mean(starts[0])[0] or 1.0
    found = minimize(
        lambda weights: _scaled(loss, weights, scale),
        starts[0],
        jac=True,
        method="SLSQP",
        bounds=[(0.0, 1.0)] * members,
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1, "jac": np.ones_like},
        options={"ftol": PRECISION, "maxiter": ITERATIONS},
    )
    return _best(loss, (*starts, *_on_simplex(found.x)))


def _scaled(loss: Loss, weights: np.ndarray, scale: float) -> tuple[float, np.ndarray]:
    """The solver's precision is absolute: losses of 1e-9 and of 1e9 have to look the same to it."""
    value, gradient = loss.mean(np.clip(weights, 0.0, None))
    return value / scale, gradient / scale


def _on_simplex(weights: np.ndarray) -> tuple[np.ndarray, ...]:
    """Rounded back onto the simplex; nothing when the solver lost itself."""
    clipped = np.clip(weights, 0.0, None)
    total = clipped.sum()
    return (clipped / total,) if np.isfinite(total) and total > 0 else ()


def _best(loss: Loss, candidates: Iterable[np.ndarray]) -> Solution:
    values = [(*loss.mean(weights), weights) for weights in candidates]
    value, gradient, weights = min(values, key=lambda found: found[0])
    return Solution(weights, value, max(0.0, float(gradient @ weights - gradient.min())))
