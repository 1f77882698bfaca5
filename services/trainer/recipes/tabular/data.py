"""Rows as the estimator takes them: numbers side by side, then what the texts are encoded as."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from bmase.training import Batch, Column, Run

from services.kit.errors import InvalidArgument, Violation
from services.trainer.recipes.tabular.recipe import Tabular

NUMBERS = "numbers"  # the input with all numbers, side by side in this order
OUTPUTS = {"classification": "probabilities", "regression": "prediction"}
UNKNOWN = -1.0


@dataclass(frozen=True)
class Encoding:
    """`categories` of each column with text: what was seen in training, sorted. Others: all zeros, or UNKNOWN."""

    numbers: tuple[Column, ...]
    categories: Mapping[str, tuple[str, ...]]
    onehot: bool

    @property
    def width(self) -> int:
        """Of all numbers together."""
        return sum(math.prod(column.shape) for column in self.numbers)

    @property
    def names(self) -> tuple[str, ...]:
        return (*(column.name for column in self.numbers), *self.categories)

    def matrix(self, rows: Batch) -> np.ndarray:
        """(n, features) float32, for the estimator."""
        parts = [self.wide(rows)] if self.numbers else []
        parts += [self._encoded(rows[name], values) for name, values in self.categories.items()]
        return np.concatenate(parts, axis=1)

    def wide(self, rows: Batch) -> np.ndarray:
        """(n, width) float32: the input NUMBERS."""
        parts = [np.asarray(rows[column.name], np.float32) for column in self.numbers]
        return np.concatenate([part.reshape(len(part), -1) for part in parts], axis=1)

    def inputs(self, rows: Batch) -> dict[str, np.ndarray]:
        """For the served model: NUMBERS (n, width) float32, and each text (n, 1) under its column's name."""
        texts = {name: np.asarray(rows[name], object).reshape(-1, 1) for name in self.categories}
        return ({NUMBERS: self.wide(rows)} if self.numbers else {}) | texts

    def _encoded(self, values: np.ndarray, known: Sequence[str]) -> np.ndarray:
        place = {value: number for number, value in enumerate(known)}
        found = np.array([place.get(value, -1) for value in values], np.int64)
        if not self.onehot:
            return found[:, None].astype(np.float32)
        return (found[:, None] == np.arange(len(known))).astype(np.float32)


def encoding(run: Run, parameters: Tabular, train: Batch) -> Encoding:
    """Of the job's features. InvalidArgument names the columns that cannot be features, and why."""
    known = {column.name: column for column in run.source().columns}
    names = parameters.features or tuple(name for name in known if name != parameters.target)
    texts = [name for name in names if _is_text(known[name], train[name])]
    problems = [problem for name in names if (problem := _problem(known[name], train[name], parameters, name in texts))]
    taken = {OUTPUTS[parameters.task], *([NUMBERS] if len(texts) < len(names) else [])}
    problems += [
        f"column {name} holds text and is called as another tensor of the model: rename it"
        for name in texts
        if name in taken
    ]
    if problems:
        raise InvalidArgument([Violation("job.data", problem) for problem in problems])
    categories = {name: tuple(sorted(set(train[name].tolist()))) for name in texts}
    numbers = tuple(known[name] for name in names if name not in texts)
    return Encoding(numbers, categories, parameters.text == "onehot")


def check_columns(run: Run, parameters: Tabular) -> None:
    """InvalidArgument for columns that are not there, at once and by name."""
    known = [column.name for column in run.source().columns]
    asked = (parameters.target, *parameters.features, *parameters.slices)
    if missing := [name for name in asked if name not in known]:
        raise InvalidArgument(
            [Violation("job.data", f"there is no column {missing[0]}; there are: {', '.join(known[:50])}")]
        )
    if not parameters.features and known == [parameters.target]:
        raise InvalidArgument([Violation("job.data", "there is no column but the target")])


def _is_text(column: Column, values: np.ndarray) -> bool:
    return values.dtype == object and not column.shape and all(isinstance(value, str) for value in values[:1])


def _problem(column: Column, values: np.ndarray, parameters: Tabular, text: bool) -> str:
    if text:
        if parameters.text == "refuse":
            return f"column {column.name} holds text: leave it out of the features, or encode it (text=onehot)"
        count = len(set(values.tolist()))
        if count > parameters.categories:
            return (
                f"column {column.name} holds {count} different texts, more than {parameters.categories} categories: "
                "leave it out of the features, raise categories, or train text-classification on it"
            )
        return ""
    if values.dtype.kind not in "biuf":
        return f"column {column.name} is of type {values.dtype.name}: features are numbers and texts"
    if np.isinf(values.astype(np.float32)).any():
        return f"column {column.name} has values that are infinite as float32"
    return ""
