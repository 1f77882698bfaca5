"""What is evaluated: the truth of the held-out rows beside what a version answered to them, checked once."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field, fields, replace
from enum import StrEnum
from functools import cached_property
from typing import Any, ClassVar, Self

import numpy as np

from services.kit.errors import InvalidArgument, Violation

Array = np.ndarray
SUM_TOLERANCE = 1e-3  # of probabilities: they come from float16 as well
EXACT = 1e-6  # float32 does not get closer to one


class Task(StrEnum):
    """What kind of answer a model gives."""

    CLASSIFICATION = "classification"
    REGRESSION = "regression"
    RANKING = "ranking"
    LANGUAGE = "language"


def _refuse(where: str, what: str) -> InvalidArgument:
    return InvalidArgument([Violation(where, what)])


def _numbers(where: str, values: Any, dimensions: int) -> Array:
    """As float64, finite; InvalidArgument names the first row that is not."""
    array = np.asarray(values)
    if array.ndim != dimensions or array.dtype.kind not in "biuf":
        raise _refuse(where, f"has to be {dimensions}-dimensional numbers, not {array.dtype} of shape {array.shape}")
    array = array.astype(np.float64)
    bad = np.flatnonzero(~np.isfinite(array).all(axis=tuple(range(1, dimensions))))
    if len(bad):
        raise _refuse(where, f"row {bad[0]} is not finite (and {len(bad) - 1} more)")
    return array


def _as_long(where: str, values: Array, rows: int) -> None:
    if len(values) != rows:
        raise _refuse(where, f"has {len(values)} rows, not {rows} as the truth has")


@dataclass(frozen=True, eq=False)
class Answers(ABC):
    """The base: all arrays of a task have the same first dimension, one entry a row."""

    task: ClassVar[Task]

    def __post_init__(self) -> None:
        self._check()
        if not self.rows:
            raise _refuse("rows", "there is no row to evaluate on")

    @abstractmethod
    def _check(self) -> None: ...

    def _set(self, **arrays: Array | None) -> None:
        for name, array in arrays.items():
            object.__setattr__(self, name, array)

    @property
    @abstractmethod
    def truth(self) -> Array:
        """By which two versions are known to be compared on the same rows."""

    @property
    def rows(self) -> int:
        return len(self.truth)

    def take(self, chosen: Array) -> Self:
        """The rows of the mask or of the indices (n,)."""
        arrays = {each.name: getattr(self, each.name) for each in fields(self)}
        return replace(self, **{k: v[chosen] for k, v in arrays.items() if isinstance(v, np.ndarray)})


@dataclass(frozen=True, eq=False)
class Classification(Answers):
    """Class indices (n,), and probabilities (n, classes) or at least the predicted classes (n,)."""

    labels: Array
    probabilities: Array | None = None
    predicted: Array = field(default_factory=lambda: np.empty(0, np.int64))
    classes: tuple[str, ...] = ()
    task = Task.CLASSIFICATION

    def _check(self) -> None:
        labels = self._classes("labels", self.labels)
        probabilities = self.probabilities
        if probabilities is not None:
            probabilities = _distributions(probabilities, len(labels))
        elif not len(self.predicted) and len(labels):
            raise _refuse("probabilities", "are missing, and so are the predicted classes: give one of them")
        chosen = self.predicted if len(self.predicted) or probabilities is None else probabilities.argmax(axis=1)
        predicted = self._classes("predicted", chosen)
        _as_long("predicted", predicted, len(labels))
        known = len(self.classes) or (probabilities.shape[1] if probabilities is not None else 0)
        for where, values in (("labels", labels), ("predicted", predicted)):
            if known and len(values) and values.max() >= known:
                raise _refuse(where, f"row {int(values.argmax())} has class {values.max()}, but there are {known}")
        if self.classes and probabilities is not None and probabilities.shape[1] != len(self.classes):
            raise _refuse("classes", f"{len(self.classes)} names for {probabilities.shape[1]} columns of probabilities")
        self._set(labels=labels, probabilities=probabilities, predicted=predicted)

    @staticmethod
    def _classes(where: str, values: Any) -> Array:
        array = _numbers(where, values, 1)
        if (array < 0).any() or (array != np.floor(array)).any():
            raise _refuse(where, "have to be class indices from 0 on")
        return array.astype(np.int64)

    @property
    def truth(self) -> Array:
        return self.labels

    @cached_property
    def right(self) -> Array:
        """(n,) bool."""
        return self.predicted == self.labels

    def name_of(self, index: int) -> str:
        return self.classes[index] if self.classes else str(index)


def _distributions(values: Any, rows: int) -> Array:
    """Probabilities (n, classes), made to sum to one where a narrow type kept them from it; else left as they are, as
    dividing by almost one would tell apart scores that are equal."""
    array = _numbers("probabilities", values, 2)
    _as_long("probabilities", array, rows)
    if array.shape[1] < 2:
        raise _refuse("probabilities", "need a column for each class, also for the second of two")
    sums = array.sum(axis=1)
    bad = np.flatnonzero((array < 0).any(axis=1) | (np.abs(sums - 1) > SUM_TOLERANCE))
    if len(bad):
        raise _refuse("probabilities", f"row {bad[0]} is no distribution: it sums to {sums[bad[0]]:.6g}; logits?")
    return np.where(np.abs(sums - 1)[:, None] > EXACT, array / sums[:, None], array)


@dataclass(frozen=True, eq=False)
class Regression(Answers):
    """True and predicted numbers, (n,) each, in the same unit."""

    targets: Array
    predicted: Array
    task = Task.REGRESSION

    def _check(self) -> None:
        targets, predicted = _numbers("targets", self.targets, 1), _numbers("predicted", self.predicted, 1)
        _as_long("predicted", predicted, len(targets))
        self._set(targets=targets, predicted=predicted)

    @property
    def truth(self) -> Array:
        return self.targets


@dataclass(frozen=True, eq=False)
class Ranking(Answers):
    """A row is a query or user: the gain of each item (n, items), 0 for irrelevant ones, and its score (n, items)."""

    relevance: Array
    scores: Array
    task = Task.RANKING

    def _check(self) -> None:
        relevance, scores = _numbers("relevance", self.relevance, 2), _numbers("scores", self.scores, 2)
        if relevance.shape != scores.shape:
            raise _refuse("scores", f"have shape {scores.shape}, the relevance {relevance.shape}")
        if (relevance < 0).any():
            raise _refuse("relevance", "has to be 0 or more")
        empty = np.flatnonzero(~(relevance > 0).any(axis=1))
        if len(empty):
            raise _refuse("relevance", f"row {empty[0]} has no relevant item (and {len(empty) - 1} more): leave it out")
        self._set(relevance=relevance, scores=scores)

    @property
    def truth(self) -> Array:
        return self.relevance

    @cached_property
    def ranked(self) -> Array:
        """Gains (n, items) from the first place on. Where scores tie, the worst order counts, so that a model which
        scores everything the same earns nothing."""
        order = np.lexsort((self.relevance, -self.scores), axis=1)
        return np.take_along_axis(self.relevance, order, axis=1)


@dataclass(frozen=True, eq=False)
class Language(Answers):
    """A row is a document, as tokens of one document depend on each other: its negative log-likelihood in nats (n,),
    summed over its tokens (n,)."""

    losses: Array
    tokens: Array
    task = Task.LANGUAGE

    def _check(self) -> None:
        losses, tokens = _numbers("losses", self.losses, 1), _numbers("tokens", self.tokens, 1)
        _as_long("losses", losses, len(tokens))
        if (tokens <= 0).any() or (losses < 0).any():
            raise _refuse("tokens", "every document needs tokens and a loss that is not negative")
        self._set(losses=losses, tokens=tokens)

    @property
    def truth(self) -> Array:
        return self.tokens
