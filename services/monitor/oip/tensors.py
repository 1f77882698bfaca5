"""Values of one tensor: from and to the bytes in which both protocols carry it, and from lists of values."""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np

from services.monitor.oip.message import Malformed, Tensor, checked_shape

DTYPES: dict[str, np.dtype] = {
    "BOOL": np.dtype("u1"),
    "UINT8": np.dtype("u1"),
    "UINT16": np.dtype("<u2"),
    "UINT32": np.dtype("<u4"),
    "UINT64": np.dtype("<u8"),
    "INT8": np.dtype("i1"),
    "INT16": np.dtype("<i2"),
    "INT32": np.dtype("<i4"),
    "INT64": np.dtype("<i8"),
    "FP16": np.dtype("<f2"),
    "FP32": np.dtype("<f4"),
    "FP64": np.dtype("<f8"),
    "BF16": np.dtype("<u2"),  # the upper half of a float32
}
_LENGTH = struct.Struct("<I")


def from_raw(name: str, datatype: str, shape: Sequence[int], data: bytes | memoryview) -> Tensor:
    """A tensor from its little-endian bytes in row-major order. The array is a view of `data` where it can be."""
    wanted = checked_shape(name, shape)
    if datatype == "BYTES":
        return Tensor(datatype, _strings(name, data, math.prod(wanted)).reshape(wanted))
    dtype = _dtype(name, datatype)
    if len(data) != math.prod(wanted) * dtype.itemsize:
        raise Malformed(f"{name!r:.80} has {len(data)} bytes, which are not {datatype}{list(wanted)}")
    flat = np.frombuffer(data, dtype)
    if datatype == "BOOL":
        flat = flat != 0
    elif datatype == "BF16":
        flat = (flat.astype("<u4") << 16).view("<f4")
    return Tensor(datatype, flat.reshape(wanted))


def from_values(name: str, datatype: str, shape: Sequence[int], values: Any) -> Tensor:
    """A tensor from a flat or nested sequence of Python values, or from an array of them."""
    wanted = checked_shape(name, shape)
    try:
        flat = _objects(values) if datatype == "BYTES" else np.asarray(values, _value_dtype(name, datatype)).reshape(-1)
    except (ValueError, TypeError, OverflowError, RecursionError):
        raise Malformed(f"{name!r:.80} holds values that are not {datatype}") from None
    if flat.size != math.prod(wanted):
        raise Malformed(f"{name!r:.80} holds {flat.size} values, its shape is {list(wanted)}")
    return Tensor(datatype, flat.reshape(wanted))


def to_raw(tensor: Tensor) -> bytes:
    """The bytes that `from_raw` reads."""
    if tensor.datatype == "BYTES":
        return b"".join(_LENGTH.pack(len(item)) + item for item in tensor.array.reshape(-1))
    if tensor.datatype == "BF16":
        return (np.ascontiguousarray(tensor.array, "<f4").view("<u4") >> 16).astype("<u2").tobytes()
    return tensor.array.astype(DTYPES[tensor.datatype], copy=False).tobytes()


def _dtype(name: str, datatype: str) -> np.dtype:
    if datatype not in DTYPES:
        raise Malformed(f"{name!r:.80} has the unknown datatype {datatype!r:.40}")
    return DTYPES[datatype]


def _value_dtype(name: str, datatype: str) -> np.dtype:
    dtype = _dtype(name, datatype)
    return {"BOOL": np.dtype("?"), "BF16": np.dtype("<f4")}.get(datatype, dtype)


def _strings(name: str, data: bytes | memoryview, count: int) -> np.ndarray:
    """`count` byte strings, each behind its length; the count is only believed as far as there are bytes."""
    if count * _LENGTH.size > len(data):
        raise Malformed(f"{name!r:.80} has {len(data)} bytes for {count} strings")
    whole, items, at = bytes(data), [], 0
    for _ in range(count):
        if at + _LENGTH.size > len(whole):
            raise Malformed(f"{name!r:.80} ends in the middle of a string's length")
        end = at + _LENGTH.size + _LENGTH.unpack_from(whole, at)[0]
        items.append(whole[at + _LENGTH.size : end])
        at = end
    if at != len(whole):
        raise Malformed(f"{name!r:.80} has {len(whole)} bytes, its strings take {at}")
    return _array(items)


def _objects(values: Any) -> np.ndarray:
    return _array([_as_bytes(item) for item in _flat(values)])


def _flat(values: Any) -> list[Any]:
    found: list[Any] = list(values)
    while found and all(isinstance(item, list) for item in found):
        found = [inner for item in found for inner in item]
    return found


def _as_bytes(item: Any) -> bytes:
    if isinstance(item, str):
        return item.encode("utf-8", errors="surrogatepass")
    if isinstance(item, bytes):
        return item
    raise TypeError


def _array(items: list[bytes]) -> np.ndarray:
    made = np.empty(len(items), object)
    made[:] = items
    return made
