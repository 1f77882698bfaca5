"""Tensor by tensor: what is not equal, by how much at most, and where. Pure, on numpy arrays."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt

from services.trainer.reproduce.documents import Document
from services.trainer.reproduce.tolerance import Bound

Array = npt.NDArray[Any]
Tensors = Mapping[str, Array]  # in the order of the model; may read each only when it is asked for
_BLOCK = 2**20  # values at a time: differences are taken in double precision
_NARROW_FLOATS = ("bfloat16", "float8", "float6", "float4")  # of ml_dtypes, which numpy does not know as numbers
_NARROW_INTS = ("int2", "int4", "uint2", "uint4", "int1", "uint1")


class Kind(StrEnum):
    """How two tensors of one name are unlike."""

    MISSING = "missing"  # the reproduction has it not
    ADDED = "added"
    TYPE = "type"
    SHAPE = "shape"
    VALUE = "value"


class Gap(Document):
    """One tensor that is not equal. Differences are infinite where only one side is NaN or infinite, and where
    texts differ. `first` is the least index, in C order, beyond the bound, or of any difference where none is beyond.
    """

    name: str
    kind: Kind
    before: str = ""  # type or shape, or the value at `first`
    now: str = ""
    unequal: int = 0  # values
    size: int = 0
    first: tuple[int, ...] = ()
    absolute: float = 0.0  # greatest difference
    absolute_at: tuple[int, ...] = ()
    relative: float = 0.0  # greatest |now - before| / |before|
    relative_at: tuple[int, ...] = ()
    beyond: bool = True  # the bound

    def __str__(self) -> str:
        match self.kind:
            case Kind.MISSING | Kind.ADDED:
                return f"{self.name} is {self.kind} in the reproduction"
            case Kind.TYPE | Kind.SHAPE:
                return f"{self.name} has the {self.kind} {self.before} and {self.now} in the reproduction"
        return (
            f"{place(self.name, self.absolute_at)} differs by {self.absolute:.3g}"
            f" (relative {self.relative:.3g} at {place(self.name, self.relative_at)})"
        )


def place(name: str, index: tuple[int, ...]) -> str:
    return f"{name}[{', '.join(map(str, index))}]" if index else name


def compare(before: Tensors, now: Tensors, bound: Bound | None) -> Iterator[Gap]:
    """Gaps in the order of `before`, then what was added. Without a bound everything unequal is beyond it."""
    for name in before:
        if name not in now:
            yield Gap(name=name, kind=Kind.MISSING)
        elif (gap := compare_arrays(name, before[name], now[name], bound)) is not None:
            yield gap
    yield from (Gap(name=name, kind=Kind.ADDED) for name in now if name not in before)


def compare_arrays(name: str, before: Array, now: Array, bound: Bound | None) -> Gap | None:
    """None when all values are equal (NaN to NaN; 0.0 to -0.0)."""
    if before.dtype != now.dtype and not _both_text(before.dtype.kind + now.dtype.kind):
        return Gap(name=name, kind=Kind.TYPE, before=before.dtype.name, now=now.dtype.name)
    if before.shape != now.shape:
        return Gap(name=name, kind=Kind.SHAPE, before=str(before.shape), now=str(now.shape))
    found = _Greatest(is_float(before.dtype), bound)
    old, new = before.reshape(-1), now.reshape(-1)
    for start in range(0, old.size, _BLOCK):
        found.add(start, old[start : start + _BLOCK], new[start : start + _BLOCK])
    if not found.unequal:
        return None
    first = found.first_beyond if found.first_beyond >= 0 else found.first
    return Gap(
        name=name,
        kind=Kind.VALUE,
        before=str(old[first])[:80],
        now=str(new[first])[:80],
        unequal=found.unequal,
        size=old.size,
        first=_index(first, before.shape),
        absolute=found.absolute,
        absolute_at=_index(found.absolute_at, before.shape),
        relative=found.relative,
        relative_at=_index(found.relative_at, before.shape),
        beyond=found.first_beyond >= 0,
    )


def is_float(dtype: np.dtype[Any]) -> bool:
    return dtype.kind in "fc" or dtype.name.startswith(_NARROW_FLOATS)


def _both_text(kinds: str) -> bool:
    """Texts of other lengths have other types in numpy."""
    return set(kinds) <= {"U", "O"} or set(kinds) == {"S"}


class _Greatest:
    """What is known after some of the values."""

    def __init__(self, tolerant: bool, bound: Bound | None) -> None:
        self.bound = bound if tolerant else None
        self.unequal = 0
        self.first = self.first_beyond = -1
        self.absolute = self.relative = -1.0
        self.absolute_at = self.relative_at = 0

    def add(self, start: int, before: Array, now: Array) -> None:
        old, new = _wide(before), _wide(now)
        unequal = _unequal(old, new)
        if not (count := int(unequal.sum())):
            return
        self.unequal += count
        at = np.flatnonzero(unequal)
        gap, size = _gaps(old[at], new[at]), _sizes(old[at])
        relative = np.divide(gap, size, out=np.full_like(gap, math.inf), where=(size > 0) & np.isfinite(size))
        beyond = at if self.bound is None else at[~(gap <= self.bound.absolute + self.bound.relative * _capped(size))]
        self.first = self.first if self.first >= 0 else start + int(at[0])
        if self.first_beyond < 0 and beyond.size:
            self.first_beyond = start + int(beyond[0])
        self.absolute, self.absolute_at = _greater(self.absolute, self.absolute_at, gap, at, start)
        self.relative, self.relative_at = _greater(self.relative, self.relative_at, relative, at, start)


def _greater(value: float, where: int, found: Array, at: Array, start: int) -> tuple[float, int]:
    best = int(np.argmax(found))
    return (float(found[best]), start + int(at[best])) if found[best] > value else (value, where)


def _wide(array: Array) -> Array:
    """In a type in which numpy can compare and subtract."""
    if array.dtype.kind == "c":
        return array.astype(np.complex128)
    if is_float(array.dtype):
        return array if array.dtype == np.longdouble else array.astype(np.float64)
    return array.astype(np.int64) if array.dtype.name in _NARROW_INTS else array


def _unequal(old: Array, new: Array) -> Array:
    unequal: Array = np.asarray(old != new, bool)
    if old.dtype.kind in "fc":
        return unequal & ~(np.isnan(old) & np.isnan(new))
    return unequal & ~(np.isnat(old) & np.isnat(new)) if old.dtype.kind in "mM" else unequal


def _gaps(old: Array, new: Array) -> Array:
    """|new - old| of unequal values as float64, infinite where there is no number for it."""
    if old.dtype.kind in "iu":  # in 64 bits without sign the difference never overflows
        low, high = np.minimum(old, new).astype(np.uint64), np.maximum(old, new).astype(np.uint64)
        return np.asarray(high - low, np.float64)
    if old.dtype.kind == "b":
        return np.ones(len(old))
    if old.dtype.kind not in "fc":
        return np.full(len(old), math.inf)
    with np.errstate(all="ignore"):
        gaps = np.abs(new - old).astype(np.float64)
    gaps[~np.isfinite(gaps)] = math.inf
    return gaps


def _sizes(old: Array) -> Array:
    if old.dtype.kind not in "fciu":
        return np.zeros(len(old))
    return np.abs(old if old.dtype.kind == "c" else old.astype(np.float64)).astype(np.float64)


def _capped(size: Array) -> Array:
    """No relative bound is so wide that it reaches an infinity."""
    return np.where(np.isfinite(size), size, 0.0)


def _index(flat: int, shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(int(each) for each in np.unravel_index(flat, shape)) if shape else ()
