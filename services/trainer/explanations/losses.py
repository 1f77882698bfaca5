"""How wrong each row is answered, by task: what permutation raises. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from scipy.special import log_softmax

from services.kit.errors import InvalidArgument, Violation

Array = np.ndarray
# From answers (rows, values) to the loss of each row (rows,).
Loss = Callable[[Array], Array]
LEAST = 1e-12  # probability: the loss of what was thought impossible stays finite
CROSS_ENTROPY, SQUARED_ERROR, CHANGE = "cross-entropy", "squared error", "change of the output"


def loss_for(task: str, truth: Mapping[str, Array], base: Array, *, logits: bool) -> tuple[str, Loss]:
    """Its name and the loss for the rows of `base`, the undisturbed answers (rows, values).

    Without a truth of one label or target a row, what is told is how far answers move: the mean absolute change.
    """
    if task == "classification" and "labels" in truth:
        return CROSS_ENTROPY, _cross_entropy(np.asarray(truth["labels"]).reshape(-1), base, logits=logits)
    if task == "regression" and "targets" in truth:
        targets = np.asarray(truth["targets"], np.float64).reshape(len(base), -1)
        if targets.shape != base.shape:
            raise _refuse("truth", f"targets of {targets.shape[1]} values, the output has {base.shape[1]}")
        return SQUARED_ERROR, lambda answers: np.mean((answers - targets) ** 2, axis=1)
    return CHANGE, lambda answers: np.mean(np.abs(answers - base), axis=1)


def _cross_entropy(labels: Array, base: Array, *, logits: bool) -> Loss:
    if len(labels) != len(base):
        raise _refuse("truth", f"{len(labels)} labels for {len(base)} rows")
    classes = max(base.shape[1], 2)
    if labels.min() < 0 or labels.max() >= classes:
        raise _refuse("truth", f"a label is {labels.max()}, the output tells {classes} classes apart")
    at = labels.astype(np.int64)[:, None]

    def loss(answers: Array) -> Array:
        if logits:
            scores = answers if answers.shape[1] > 1 else np.concatenate([np.zeros_like(answers), answers], axis=1)
            return -np.take_along_axis(log_softmax(scores, axis=1), at, axis=1)[:, 0]
        shares = answers if answers.shape[1] > 1 else np.concatenate([1 - answers, answers], axis=1)
        return -np.log(np.maximum(np.take_along_axis(shares, at, axis=1)[:, 0], LEAST))

    return loss


def _refuse(where: str, what: str) -> InvalidArgument:
    return InvalidArgument([Violation(where, what)])
