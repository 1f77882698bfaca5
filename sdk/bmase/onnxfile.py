"""Which other files an ONNX model needs, read from its protobuf wire format without loading it.

Tensors may live outside of the model file (TensorProto.external_data). Only the messages that can contain a tensor are
walked; everything else, the weights above all, is skipped by its length, so a model of any size takes neither memory
nor time.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from bmase.errors import InvalidArgument, Violation

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5

# message -> field number -> message that the field holds (onnx.proto, opset-independent)
CHILDREN: dict[str, dict[int, str]] = {
    "Model": {7: "Graph", 20: "Training", 25: "Function"},
    "Training": {1: "Graph", 2: "Graph"},
    "Function": {7: "Node", 11: "Attribute"},
    "Graph": {1: "Node", 5: "Tensor", 15: "SparseTensor"},
    "Node": {5: "Attribute"},
    "Attribute": {5: "Tensor", 6: "Graph", 10: "Tensor", 11: "Graph", 22: "SparseTensor", 23: "SparseTensor"},
    "SparseTensor": {1: "Tensor", 2: "Tensor"},
    "Tensor": {13: "Entry"},
}
MAX_DEPTH = 64


def external_files(model: Path) -> list[str]:
    """Paths, relative to the model's folder, of the files that its tensors are in.

    InvalidArgument when it is not ONNX.
    """
    if model.stat().st_size == 0:
        raise _broken(model, "it is empty")
    with model.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        try:
            found = sorted(set(_locations(data, 0, len(data), "Model", 0)))
        except (IndexError, UnicodeDecodeError) as problem:
            raise _broken(model, "it is not a protobuf message, or it is cut off") from problem
    for location in found:
        _check_location(model, location)
    return found


def _locations(data: mmap.mmap, at: int, end: int, message: str, depth: int) -> Iterator[str]:
    if depth > MAX_DEPTH:
        raise IndexError("too deep")
    children = CHILDREN[message]
    for number, start, stop in _fields(data, at, end):
        child = children.get(number)
        if child == "Entry":
            yield from _location(data, start, stop)
        elif child is not None:
            yield from _locations(data, start, stop, child, depth + 1)


def _location(data: mmap.mmap, start: int, stop: int) -> Iterator[str]:
    entry = {number: data[a:b] for number, a, b in _fields(data, start, stop)}
    if entry.get(1) == b"location":
        yield entry.get(2, b"").decode()


def _fields(data: mmap.mmap, at: int, end: int) -> Iterator[tuple[int, int, int]]:
    """(number, start, stop) of each length-delimited field between two positions."""
    while at < end:
        tag, at = _varint(data, at)
        kind = tag & 7
        if kind == BYTES:
            length, at = _varint(data, at)
            if at + length > end:
                raise IndexError("cut off")
            yield tag >> 3, at, at + length
            at += length
        elif kind == VARINT:
            _, at = _varint(data, at)
        elif kind in {FIXED64, FIXED32}:
            at += 8 if kind == FIXED64 else 4
        else:
            raise IndexError("unknown wire type")
    if at != end:
        raise IndexError("cut off")


def _varint(data: mmap.mmap, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
        if shift > 63:
            raise IndexError("varint too long")


def _check_location(model: Path, location: str) -> None:
    path = PurePosixPath(location)
    if not location or path.is_absolute() or ".." in path.parts:
        raise _broken(model, f"it refers to data outside of its folder: {location!r}")
    if not (model.parent / path).is_file():
        raise _broken(model, f"its external data {location!r} is not beside it")


def _broken(model: Path, what: str) -> InvalidArgument:
    text = f"{model} cannot be pushed as ONNX: {what}"
    return InvalidArgument(text, reason="INVALID_MODEL_FILE", violations=[Violation("files", text)])
