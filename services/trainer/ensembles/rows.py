"""Members' predictions on the same rows, checked before anything is computed from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NoReturn

import numpy as np

from services.kit.errors import InvalidArgument, Violation

MIN_MEMBERS = 2
SUM_TOLERANCE = 1e-3  # of a row of probabilities; half precision keeps this


class Kind(StrEnum):
    """What members predict, and so which proper loss judges them."""

    PROBABILITIES = "probabilities"  # of k classes, or of the positive one when k is 1: log loss
    NUMBERS = "numbers"  # k of them: squared loss, averaged over k


@dataclass(frozen=True, eq=False)
class Rows:
    """What each member said about n rows, and what was true.

    `predictions`: member -> (n, k), or (n,) for k = 1. `labels`: class numbers (n,) for probabilities, else numbers
    (n, k) or (n,). `groups` (n,): rows with an equal value belong together (one user's), are never parted by folds
    and count as one observation in intervals.
    """

    predictions: Mapping[str, np.ndarray]
    labels: np.ndarray
    groups: np.ndarray | None = None


@dataclass(frozen=True, eq=False)
class Checked:
    """Rows that hold what they promise: `predictions` are (n, k) for each name, `units` (n,) numbers from 0."""

    names: tuple[str, ...]
    predictions: tuple[np.ndarray, ...]
    labels: np.ndarray
    units: np.ndarray

    @property
    def size(self) -> int:
        """Independent observations: groups, or rows when there are none."""
        return int(self.units.max()) + 1


def check(rows: Rows, kind: Kind, field: str = "rows") -> Checked:
    """The rows if they are sound; raises InvalidArgument that names every member which is wrong, and how."""
    names = tuple(rows.predictions)
    if len(names) < MIN_MEMBERS:
        _refuse(f"{field}.predictions", f"an ensemble needs at least {MIN_MEMBERS} members, not {len(names)}")
    arrays = {name: _matrix(np.asarray(array)) for name, array in rows.predictions.items()}
    first = arrays[names[0]].shape
    wrong = [
        Violation(f"{field}.predictions[{name}]", why)
        for name, array in arrays.items()
        if (why := _wrong(array, first, names[0], kind))
    ]
    if wrong:
        raise InvalidArgument(wrong)
    labels = _labels(np.asarray(rows.labels), (first[0], first[1]), kind, f"{field}.labels")
    return Checked(names, tuple(arrays.values()), labels, _units(rows.groups, first[0], f"{field}.groups"))


def same_members(tuning: Checked, test: Checked) -> None:
    """Raises InvalidArgument unless both are about the same members, in the same order, with outputs as wide."""
    if tuning.names != test.names:
        _refuse("test.predictions", f"they are of {_list(test.names)}, the tuning rows' of {_list(tuning.names)}")
    wide, asked = test.predictions[0].shape[1], tuning.predictions[0].shape[1]
    if wide != asked:
        _refuse("test.predictions", f"members give {wide} values a row, but {asked} on the tuning rows")


def _matrix(array: np.ndarray) -> np.ndarray:
    return array[:, None] if array.ndim == 1 else array


def _wrong(array: np.ndarray, first: tuple[int, ...], whose: str, kind: Kind) -> str:
    """What keeps the array from being predictions; empty when nothing does."""
    if array.ndim != 2 or 0 in array.shape:
        return f"it has shape {list(array.shape)} where [rows, values] is needed"
    if array.dtype.kind not in "fiub":
        return f"it holds {array.dtype} where numbers are needed"
    if array.shape != first:
        return f"it has shape {list(array.shape)}, that of {whose!r} is {list(first)}; all members see the same rows"
    if bad := int((~np.isfinite(array).all(axis=1)).sum()):
        return f"{bad:,} of {len(array):,} rows have NaN or infinity; leave such members or rows out"
    return _improbable(array) if kind is Kind.PROBABILITIES else ""


def _improbable(array: np.ndarray) -> str:
    array = array.astype(np.float64)
    low, high = float(array.min()), float(array.max())
    if low < -SUM_TOLERANCE or high > 1 + SUM_TOLERANCE:
        return f"values go from {low:.4g} to {high:.4g}; give probabilities: the softmax of what looks like logits"
    sums = array.sum(axis=1)
    worst = float(sums[np.abs(sums - 1).argmax()])
    if array.shape[1] > 1 and abs(worst - 1) > SUM_TOLERANCE:
        return f"a row of probabilities sums to {worst:.4g}, not 1"
    return ""


def _labels(labels: np.ndarray, shape: tuple[int, int], kind: Kind, field: str) -> np.ndarray:
    if labels.shape[:1] != shape[:1]:
        _refuse(field, f"their shape is {list(labels.shape)}, but the members saw {shape[0]:,} rows")
    return _classes(labels, max(shape[1], 2), field) if kind is Kind.PROBABILITIES else _numbers(labels, shape, field)


def _classes(labels: np.ndarray, classes: int, field: str) -> np.ndarray:
    flat = labels.reshape(len(labels), -1)
    if flat.shape[1] != 1 or flat.dtype.kind not in "iub":
        _refuse(field, f"{labels.dtype} of shape {list(labels.shape)}; one class number a row is needed")
    if flat.min() < 0 or flat.max() >= classes:
        _refuse(field, f"classes go from {flat.min()} to {flat.max()}, but members tell 0 to {classes - 1} apart")
    return flat[:, 0].astype(np.intp)


def _numbers(labels: np.ndarray, shape: tuple[int, int], field: str) -> np.ndarray:
    numbers = _matrix(labels)
    if numbers.shape != shape or numbers.dtype.kind not in "fiub":
        _refuse(field, f"{labels.dtype} of shape {list(labels.shape)}; numbers of shape {list(shape)} are needed")
    if not np.isfinite(numbers).all():
        _refuse(field, "there are NaN or infinite labels; leave those rows out")
    return numbers.astype(np.float64)


def _units(groups: np.ndarray | None, n: int, field: str) -> np.ndarray:
    if groups is None:
        units = np.arange(n)
    elif np.shape(groups) != (n,):
        _refuse(field, f"their shape is {list(np.shape(groups))}, but there are {n:,} rows")
    else:
        units = np.unique(np.asarray(groups), return_inverse=True)[1]
    if units.max() < 1:
        _refuse(field, "there is only one independent row or group; nothing can be said from it")
    return units


def _list(names: Sequence[str]) -> str:
    return ", ".join(names)


def _refuse(field: str, why: str) -> NoReturn:
    raise InvalidArgument([Violation(field, why)])
