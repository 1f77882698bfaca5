"""A column with classes: their names, and how many rows there are of each part."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from bmase.training import Run

from services.kit.errors import InvalidArgument, Violation

MOST_CLASSES = 10_000


@dataclass(frozen=True)
class Labels:
    """`classes`: their names, where they are texts or the folders of pictures; else they are the numbers from 0 on."""

    count: int
    classes: tuple[str, ...]
    text: bool
    rows: Mapping[str, int]  # of each part

    @property
    def names(self) -> tuple[str, ...]:
        """`classes` for a product. Folders that are called by numbers end in a slash: their column holds places, and
        whoever judges would take the place 2 for the folder 2, which comes after 10."""
        return self.classes if self.text else tuple(f"{name}/" if _number(name) else name for name in self.classes)

    def indices(self, values: np.ndarray) -> np.ndarray:
        """(n,) int64: the class of each value."""
        if not self.text:
            return values.astype(np.int64)
        return np.searchsorted(np.array(self.classes, object), values).astype(np.int64)


def labels(run: Run, column: str) -> Labels:
    """Reads the column of all rows, in every worker. InvalidArgument says which value is no class."""
    rows, seen = {}, set()
    for part in ("train", "validation", "test"):
        rows[part] = 0
        for batch in run.rows(part, [column], batch=65_536, shard=False):
            rows[part] += len(batch[column])
            seen.update(np.unique(batch[column]).tolist())
            if len(seen) > MOST_CLASSES:
                raise _refuse(column, f"has more than {MOST_CLASSES} different values: these are no classes")
    if not rows["train"] or not rows["validation"]:
        told = f"there are {rows['train']} rows to train on and {rows['validation']} for validation"
        raise _refuse(column, f"{told}: give more rows, or a split with both")
    return _labels(column, seen, run.source().classes, rows)


def _labels(column: str, seen: set[object], named: tuple[str, ...], rows: Mapping[str, int]) -> Labels:
    if all(isinstance(value, str) for value in seen):
        names = tuple(sorted(str(value) for value in seen))
        return _enough(column, Labels(len(names), names, True, rows))
    for value in seen:
        if isinstance(value, float) and math.isnan(value):
            raise _refuse(column, "has rows without a class: fill them in, or leave them out")
        if not isinstance(value, int | float) or not 0 <= value <= MOST_CLASSES or value != int(value):
            words = f"has the value {value!r}: classes are texts, or whole numbers from 0 to {MOST_CLASSES}"
            raise _refuse(column, words)
    most = max(int(value) for value in seen if isinstance(value, int | float)) + 1
    return _enough(column, Labels(max(most, len(named)), named if len(named) >= most else (), False, rows))


def _number(name: str) -> bool:
    return re.fullmatch(r"[+-]?\d+", name) is not None


def _enough(column: str, found: Labels) -> Labels:
    if found.count < 2:
        raise _refuse(column, "has only one class")
    return found


def _refuse(column: str, text: str) -> InvalidArgument:
    return InvalidArgument([Violation("job.data", f"column {column}: {text}")])
