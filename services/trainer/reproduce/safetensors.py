"""Tensors of a safetensors file, each read when it is asked for.

The format (github.com/huggingface/safetensors, "Format"): 8 bytes, the length of the header as an unsigned
little-endian number; the header, a JSON object name -> {dtype, shape, data_offsets: [begin, end]}, where
`__metadata__` is text about the file; then the data, little-endian in C order, without holes or overlaps. Nothing in
it is code, and every number is checked against the file before anything is read.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
from bmase.reasons import Reason

from services.kit.errors import DomainError
from services.trainer.reproduce.tensors import Array

MAX_HEADER = 100_000_000  # the format's own limit
_LENGTH = 8
_TYPES: Mapping[str, Any] = {
    "BOOL": "?", "U8": "<u1", "I8": "<i1", "U16": "<u2", "I16": "<i2", "U32": "<u4", "I32": "<i4", "U64": "<u8",
    "I64": "<i8", "F16": "<f2", "F32": "<f4", "F64": "<f8", "C64": "<c8", "BF16": ml_dtypes.bfloat16,
    "F8_E4M3": ml_dtypes.float8_e4m3fn, "F8_E5M2": ml_dtypes.float8_e5m2,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Place:
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    begin: int
    end: int


class SafetensorsFile(Mapping[str, Array]):
    """Name -> array, in the order of the data. Raises DomainError(INVALID_MODEL_FILE) when it is no such file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._start, self._places = _read_header(path)
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise _malformed(path, f"{type(error).__name__}: {error}") from error

    def __getitem__(self, name: str) -> Array:
        place = self._places[name]
        count = (place.end - place.begin) // place.dtype.itemsize
        with self._path.open("rb") as file:
            file.seek(self._start + place.begin)
            content = file.read(place.end - place.begin)
        if len(content) != place.end - place.begin:
            raise _malformed(self._path, f"{name} ends before its data do")
        return np.frombuffer(content, place.dtype, count).reshape(place.shape)

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


def _read_header(path: Path) -> tuple[int, dict[str, _Place]]:
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(_LENGTH), "little")
        if not 2 <= length <= min(MAX_HEADER, size - _LENGTH):
            raise ValueError(f"the header's length is {length}")
        header = json.loads(file.read(length), object_pairs_hook=_once)
    header.pop("__metadata__", None)
    places = {name: _place(name, each) for name, each in header.items()}
    ordered = dict(sorted(places.items(), key=lambda item: (item[1].begin, item[1].end, item[0])))
    _check_whole(ordered, size - _LENGTH - length)
    return _LENGTH + length, ordered


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(found := dict(pairs)) != len(pairs):
        raise ValueError("the header has a name twice")
    return found


def _place(name: str, entry: Any) -> _Place:
    if entry["dtype"] not in _TYPES:
        raise ValueError(f"{name} has the type {entry['dtype']}, which is not known here")
    dtype, (begin, end) = np.dtype(_TYPES[entry["dtype"]]), entry["data_offsets"]
    shape = tuple(entry["shape"])
    if not all(type(number) is int and number >= 0 for number in (*shape, begin, end)):
        raise ValueError(f"{name} has a shape or offsets that are no natural numbers")
    if end - begin != math.prod(shape) * dtype.itemsize:
        raise ValueError(f"{name} has {end - begin} bytes, which its shape and type do not make")
    return _Place(dtype, shape, begin, end)


def _check_whole(places: Mapping[str, _Place], size: int) -> None:
    at = 0
    for name, place in places.items():
        if place.begin != at:
            raise ValueError(f"{name} begins at {place.begin}, where {at} is free")
        at = place.end
    if at != size:
        raise ValueError(f"the tensors have {at} bytes, and the file {size}")


def _malformed(path: Path, why: str) -> DomainError:
    return DomainError(
        Reason.INVALID_MODEL_FILE,
        f"{path.name} is no safetensors file: {' '.join(why.split())[:300]}",
        hint="Write it again with the safetensors library.",
    )
