"""Arrays as the Open Inference Protocol's raw bytes: little-endian, row-major.

Strings with a 4-byte length before each.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from bmase.errors import InvalidArgument, Violation

Array = npt.NDArray[Any]

DTYPES: dict[str, npt.DTypeLike] = {
    "BOOL": np.bool_,
    "UINT8": np.uint8,
    "UINT16": "<u2",
    "UINT32": "<u4",
    "UINT64": "<u8",
    "INT8": np.int8,
    "INT16": "<i2",
    "INT32": "<i4",
    "INT64": "<i8",
    "FP16": "<f2",
    "FP32": "<f4",
    "FP64": "<f8",
}
_NAMES = {np.dtype(dtype): name for name, dtype in DTYPES.items()}


def datatype_of(array: Array) -> str:
    """The protocol's name for the array's type; InvalidArgument for types that it has no name for."""
    if array.dtype.kind in "OSU":
        return "BYTES"
    if array.dtype.name == "bfloat16":
        return "BF16"
    name = _NAMES.get(array.dtype.newbyteorder("<"))
    if name is None:
        raise _invalid(
            f"arrays of type {array.dtype} cannot be sent: convert to one of {', '.join(DTYPES)}, BF16, BYTES"
        )
    return name


def encode(array: Array, datatype: str) -> bytes:
    """The raw bytes of the array as `datatype`; values are converted when the types differ."""
    if datatype == "BYTES":
        return b"".join(struct.pack("<I", len(item)) + item for item in map(_as_bytes, array.ravel()))
    if datatype == "BF16":
        return _encode_bf16(array)
    if datatype not in DTYPES:
        raise _invalid(f"{datatype!r} is not a datatype of the Open Inference Protocol")
    return np.ascontiguousarray(array, dtype=DTYPES[datatype]).tobytes()


def decode(raw: bytes, datatype: str, shape: Sequence[int]) -> Array:
    """The array in raw bytes. BYTES come as objects (bytes), BF16 widened to float32, which is exact."""
    if datatype == "BYTES":
        return _decode_strings(raw, shape)
    if datatype == "BF16":
        wide = np.frombuffer(raw, dtype="<u2").astype(np.uint32) << 16
        return wide.view(np.float32).reshape(shape)
    if datatype not in DTYPES:
        raise _invalid(f"{datatype!r} is not a datatype of the Open Inference Protocol")
    return np.frombuffer(raw, dtype=DTYPES[datatype]).reshape(shape)


def _encode_bf16(array: Array) -> bytes:
    if array.dtype.name == "bfloat16":
        return np.ascontiguousarray(array).tobytes()
    single = np.ascontiguousarray(array, dtype="<f4")
    bits = single.view(np.uint32)
    # Round to nearest, ties to even; NaN stays NaN whatever its low bits.
    rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16
    return np.where(np.isnan(single), 0x7FC0, rounded).astype("<u2").tobytes()


def _as_bytes(item: Any) -> bytes:
    return item if isinstance(item, bytes) else str(item).encode()


def _decode_strings(raw: bytes, shape: Sequence[int]) -> Array:
    items: list[bytes] = []
    at = 0
    while at < len(raw):
        (length,) = struct.unpack_from("<I", raw, at)
        items.append(raw[at + 4 : at + 4 + length])
        at += 4 + length
    found = np.empty(len(items), dtype=object)
    found[:] = items
    return found.reshape(shape)


def _invalid(text: str) -> InvalidArgument:
    return InvalidArgument(text, reason="INVALID_FIELD", violations=[Violation("inputs", text)])
