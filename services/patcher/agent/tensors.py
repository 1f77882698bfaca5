"""Tensors as the Open Inference Protocol carries them, made and compared by value. Pure."""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_DTYPES: dict[str, np.dtype] = {
    "BOOL": np.dtype("?"),
    "UINT8": np.dtype("<u1"),
    "UINT16": np.dtype("<u2"),
    "UINT32": np.dtype("<u4"),
    "UINT64": np.dtype("<u8"),
    "INT8": np.dtype("<i1"),
    "INT16": np.dtype("<i2"),
    "INT32": np.dtype("<i4"),
    "INT64": np.dtype("<i8"),
    "FP16": np.dtype("<f2"),
    "FP32": np.dtype("<f4"),
    "FP64": np.dtype("<f8"),
    "BF16": np.dtype("<u2"),
}
_FLOATS = frozenset({"FP16", "FP32", "FP64", "BF16"})


class TensorError(ValueError):
    """The bytes are not the tensor they are said to be."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """A named tensor: little-endian, row-major bytes, with the batch dimension."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    data: bytes

    @property
    def floating(self) -> bool:
        return self.datatype in _FLOATS

    def values(self) -> np.ndarray:
        """Numbers as float64 or integers, in the tensor's shape; raises TensorError."""
        dtype = _DTYPES.get(self.datatype)
        if dtype is None:
            raise TensorError(f"{self.name} has the datatype {self.datatype}, which is not a number")
        if len(self.data) != math.prod(self.shape) * dtype.itemsize:
            raise TensorError(f"{self.name} has {len(self.data)} bytes, which is not {self.datatype}{list(self.shape)}")
        flat = np.frombuffer(self.data, dtype)
        if self.datatype == "BF16":  # the upper half of a float32
            flat = (flat.astype("<u4") << 16).view("<f4")
        return flat.reshape(self.shape)


def example(name: str, datatype: str, shape: Sequence[int]) -> Tensor:
    """An input when nobody gave one: open dimensions are 1, and so are integers (a known token, an open mask)."""
    closed = tuple(1 if size < 0 else size for size in shape)
    count = math.prod(closed)
    if datatype == "BYTES":
        data = (struct.pack("<I", 1) + b"1") * count
    elif datatype == "BF16":
        data = np.full(count, 0x3F80, "<u2").tobytes()
    elif datatype in _FLOATS:
        # Different values, so that a normalisation does not divide by a spread of zero.
        data = (0.1 + 0.8 * (np.arange(count) % 97) / 97).astype(_DTYPES[datatype]).tobytes()
    elif datatype in _DTYPES:
        data = np.ones(count, _DTYPES[datatype]).tobytes()
    else:
        raise TensorError(f"the input {name} has the unknown datatype {datatype}")
    return Tensor(name, datatype, closed, data)


def difference(got: Tensor, right: Tensor, absolute: float, relative: float) -> str:
    """What is wrong with a tensor that should be `right`; empty when nothing is."""
    if got.datatype != right.datatype:
        return f"{right.name} is {got.datatype}, not {right.datatype}"
    if got.shape != right.shape:
        return f"{right.name} has the shape {list(got.shape)}, not {list(right.shape)}"
    if right.datatype == "BYTES" or not right.floating:
        return "" if got.data == right.data else f"{right.name} has other values"
    found, wanted = got.values().astype(np.float64), right.values().astype(np.float64)
    close = np.isclose(found, wanted, rtol=relative, atol=absolute, equal_nan=True)
    if close.all():
        return ""
    worst = np.nanmax(np.abs(found - wanted)[~close], initial=0.0)
    where = f"{(~close).sum()} of {close.size} values"
    return (
        f"{right.name} differs in {where}, at most by {worst:.3g} (allowed: {absolute:g} + {relative:g} of the value)"
    )


def implausible(got: Tensor, datatype: str, shape: Sequence[int]) -> str:
    """What is wrong with an output of which only the signature is known; empty when nothing is."""
    if got.datatype != datatype:
        return f"{got.name} is {got.datatype}, not {datatype}"
    fits = len(got.shape) == len(shape) and all(want in (-1, have) for have, want in zip(got.shape, shape, strict=True))
    if not fits:
        return f"{got.name} has the shape {list(got.shape)}, not {list(shape)}"
    if datatype == "BYTES":
        return ""
    values = got.values()
    return f"{got.name} has values that are not finite" if got.floating and not np.isfinite(values).all() else ""
