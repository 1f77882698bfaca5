"""Which features a tensor is taken apart into, and what they are called.

A row is what lies under one index of the first dimension. Each of its numbers is a feature, named by its place
(`input/image[14,9]`; dimensions of size 1 are left out). Rows of more than 1,024 numbers are represented by 1,024 of
them, drawn once with a fixed seed, and by the row's mean, standard deviation, least and largest value.
Each string of a row is a feature of categories; rows of more than 16 strings are one feature together.
Outputs that are vectors of reals, or one integer, have one more, `.label`: the place of the largest, or the integer.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np

MAX_NUMBERS = 1024
MAX_STRINGS = 16
MAX_FEATURES = 8_192  # of a version
SUBSAMPLE_SEED = 1024
SUMMARIES = ("mean", "std", "min", "max")
LABEL = "label"
MAX_CATEGORY = 128  # characters of a category that are kept


class Role(StrEnum):
    """Which side of the model a tensor is on."""

    INPUT = "input"
    OUTPUT = "output"


class Kind(StrEnum):
    """What a tensor holds."""

    REAL = "real"
    WHOLE = "whole"
    TEXT = "text"

    @classmethod
    def of(cls, array: np.ndarray) -> Kind:
        """Raises ValueError for values of no known kind."""
        found = {"f": cls.REAL, "b": cls.WHOLE, "i": cls.WHOLE, "u": cls.WHOLE}.get(array.dtype.kind)
        if found is None and array.dtype.kind not in "OSU":
            raise ValueError(f"values of {array.dtype} are neither numbers nor strings")
        return found or cls.TEXT


@dataclass(frozen=True)
class Batch:
    """Rows taken apart: `numbers` is float32 (features, rows), `categories` one array of strings a feature."""

    rows: int
    numbers: np.ndarray
    categories: dict[str, np.ndarray]


@dataclass(frozen=True, eq=False)
class Layout:
    """How rows of one shape are taken apart. `numbers` and `categories` name the features in the order of the data."""

    role: Role
    name: str
    kind: Kind
    row_shape: tuple[int, ...]
    picked: np.ndarray | None = None  # places in the flat row; None: all of them
    numbers: tuple[str, ...] = field(init=False)
    categories: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "numbers", () if self.text else tuple(self._number_names()))
        object.__setattr__(self, "categories", tuple(self._category_names()))

    @classmethod
    def of(cls, role: Role, name: str, array: np.ndarray) -> Layout:
        """The layout of an array whose first dimension counts rows; raises ValueError for values of no known kind."""
        kind, shape = Kind.of(array), tuple(array.shape[1:])
        return cls(role, name, kind, shape, None if kind is Kind.TEXT else subsample(math.prod(shape)))

    @property
    def text(self) -> bool:
        """Whether the values are strings."""
        return self.kind is Kind.TEXT

    @property
    def tensor(self) -> str:
        """E.g. `input/image`."""
        return f"{self.role}/{self.name}"

    @property
    def features(self) -> tuple[str, ...]:
        """All names: numbers first."""
        return self.numbers + self.categories

    def fits(self, array: np.ndarray) -> bool:
        """Whether the array's rows are of this layout's shape and kind."""
        return tuple(array.shape[1:]) == self.row_shape and array.dtype.kind in ("OSU" if self.text else "biuf")

    def split(self, array: np.ndarray) -> Batch:
        """Takes rows apart that fit."""
        rows = len(array)
        flat = array.reshape(rows, math.prod(self.row_shape))
        if self.text:
            return Batch(rows, np.empty((0, rows), np.float32), self._texts(flat))
        return Batch(rows, self._matrix(flat), self._labels(flat))

    def _matrix(self, flat: np.ndarray) -> np.ndarray:
        with np.errstate(over="ignore", invalid="ignore"):  # what 32 bits cannot hold counts as infinite
            if self.picked is None:
                return np.ascontiguousarray(flat.T, np.float32)
            wide = flat.astype(np.float32, copy=False)
            summaries = (wide.mean(1), wide.std(1), wide.min(1), wide.max(1))
            return np.vstack([wide[:, self.picked].T, *summaries])

    def _texts(self, flat: np.ndarray) -> dict[str, np.ndarray]:
        texts = np.array([_text(item) for item in flat.reshape(-1)], object).reshape(flat.shape)
        return dict(zip(self.categories, self._text_columns(texts), strict=True))

    def _text_columns(self, texts: np.ndarray) -> Iterable[np.ndarray]:
        if len(self.categories) == texts.shape[1]:
            return texts.T
        return [texts.reshape(-1)]

    def _labels(self, flat: np.ndarray) -> dict[str, np.ndarray]:
        if not self.categories:
            return {}
        places = flat[:, 0] if flat.shape[1] == 1 else np.argmax(_without_nan(flat), axis=1)
        return {self.categories[0]: places.astype(np.int64)}

    def _number_names(self) -> list[str]:
        size = math.prod(self.row_shape)
        sizes = tuple(n for n in self.row_shape if n != 1)
        if not sizes:
            return [self.tensor] if size else []
        places = np.arange(size) if self.picked is None else self.picked
        indices = np.stack(np.unravel_index(places, sizes), axis=1) if size else np.empty((0, len(sizes)), int)
        names = [f"{self.tensor}[{','.join(map(str, index))}]" for index in indices.tolist()]
        return names if self.picked is None else names + [f"{self.tensor}.{name}" for name in SUMMARIES]

    def _category_names(self) -> list[str]:
        size = math.prod(self.row_shape)
        if not self.text:
            return [f"{self.tensor}.{LABEL}"] if self._has_label() else []
        if size == 1 or size > MAX_STRINGS:
            return [self.tensor]
        return [f"{self.tensor}[{place}]" for place in range(size)]

    def _has_label(self) -> bool:
        sizes = [n for n in self.row_shape if n != 1]
        vector = self.kind is Kind.REAL and len(sizes) == 1 and 2 <= sizes[0] <= MAX_NUMBERS
        return self.role is Role.OUTPUT and (vector or (self.kind is Kind.WHOLE and not sizes))


def subsample(size: int) -> np.ndarray | None:
    """The places that stand for a row of `size` numbers, in order; None when all are looked at."""
    if size <= MAX_NUMBERS:
        return None
    return np.sort(np.random.default_rng([SUBSAMPLE_SEED, size]).choice(size, MAX_NUMBERS, replace=False))


def _without_nan(flat: np.ndarray) -> np.ndarray:
    return np.nan_to_num(flat, nan=-np.inf) if flat.dtype.kind == "f" else flat


def _text(item: object) -> str:
    text = item.decode("utf-8", errors="replace") if isinstance(item, bytes) else str(item)
    return text[:MAX_CATEGORY]
