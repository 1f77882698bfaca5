"""Columns of a data set and how their values look in memory, whatever file they came from.

    dtype of a column     array in a batch
    int8 ... float64      of that numpy type, native byte order; a missing number is NaN (so the column is a float)
    text                  objects, all `str`; a missing text is the empty one
    bytes                 objects, all `bytes`
    time                  datetime64[us] in UTC

The first dimension is always that of the rows.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, Field

TEXT, BYTES, TIME = "text", "bytes", "time"
NUMBERS = frozenset(
    {"bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float16", "float32", "float64"}
)

Array = npt.NDArray[Any]
Batch = Mapping[str, Array]


class Column(BaseModel, frozen=True, extra="forbid"):
    """One column: `shape` is that of one row's value, empty for a scalar."""

    name: str = Field(min_length=1, max_length=256)
    dtype: str = Field(pattern=f"^({'|'.join(sorted(NUMBERS | {TEXT, BYTES, TIME}))})$")
    shape: tuple[int, ...] = ()

    @property
    def numpy(self) -> str:
        """numpy's name of what its arrays are."""
        return {TEXT: "object", BYTES: "object", TIME: "datetime64[us]"}.get(self.dtype, self.dtype)

    @property
    def row_bytes(self) -> int:
        """Bytes of one row; for text, what the references to it take."""
        return math.prod(self.shape) * (np.dtype(self.dtype).itemsize if self.dtype in NUMBERS else 8)

    def __str__(self) -> str:
        return f"{self.dtype}[{'x'.join(map(str, self.shape))}]" if self.shape else self.dtype


def column_of(name: str, dtype: np.dtype[Any], shape: Sequence[int] = ()) -> Column | None:
    """The column that arrays of this type make; None for types that are not data (objects, records, complex)."""
    found = {"U": TEXT, "S": BYTES, "M": TIME}.get(dtype.kind, dtype.name)
    known = found in NUMBERS or dtype.kind in "USM"
    return Column(name=name, dtype=found, shape=tuple(shape)) if known else None


def common(one: Column, other: Column, *, text_takes_all: bool = False) -> Column | None:
    """The narrowest column that holds the values of both; None when there is none.

    Numbers widen as numpy does. `text_takes_all`: in files that are text, a number is a text too.
    """
    if one.shape != other.shape:
        return None
    if one.dtype == other.dtype:
        return one
    if one.dtype in NUMBERS and other.dtype in NUMBERS:
        return one.model_copy(update={"dtype": np.result_type(one.dtype, other.dtype).name})
    return one.model_copy(update={"dtype": TEXT}) if text_takes_all else None


def cast(array: Array, column: Column) -> Array:
    """The array as the column promises it, not copied where it is so already."""
    if column.dtype == TIME:
        return array.astype("datetime64[us]", copy=False)
    return array.astype(column.dtype if column.dtype in NUMBERS else object, copy=False)


def length(batch: Batch) -> int:
    """How many rows."""
    return len(next(iter(batch.values()))) if batch else 0
