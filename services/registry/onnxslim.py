"""An ONNX file without its weights, read in constant memory.

The protobuf wire format is walked field by field along the few paths that lead to tensors (graph, node, attribute,
function, training). What is small is copied as it is; the contents of larger tensors are skipped, and each such tensor
carries a mark with what was left out. The result is an ordinary `onnx.ModelProto` whose size is that of the graph,
whatever the size of the weights.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import BinaryIO, NoReturn

import onnx
from google.protobuf.message import DecodeError

# Tensors up to this size stay, so that shapes that are computed from constants can be followed.
KEEP_BYTES = 16 * 1024
# Graphs of published models, the largest included, stay far below this without their weights.
MAX_GRAPH_BYTES = 64 * 1024 * 1024
# Above this no protobuf implementation reads a file in one piece, so no runtime could load it either.
MAX_FILE_BYTES = 2**31 - 1
MAX_DEPTH = 100

# Fields that are walked one by one: nodes, tensors and what leads to them, not what they hold.
MAX_FIELDS = 2_000_000

# Key of the external_data entry that marks a tensor whose contents were left out. No file can forge it.
MARK = f"left_out.{secrets.token_hex(8)}"


class MalformedError(ValueError):
    """The bytes are no ONNX model; the message says where and why, for the person who made the file."""


@dataclass(frozen=True, slots=True)
class Shape:
    """A message type: its name for error texts, fields that lead towards tensors, and fields that hold a tensor's
    contents.
    """

    name: str
    towards: dict[int, str]
    contents: frozenset[int] = frozenset()


_SHAPES = {
    "model": Shape("ModelProto", {7: "graph", 20: "training", 25: "function"}),
    "training": Shape("TrainingInfoProto", {1: "graph", 2: "graph"}),
    "graph": Shape("GraphProto", {1: "node", 5: "tensor", 15: "sparse"}),
    "function": Shape("FunctionProto", {7: "node", 11: "attribute"}),
    "node": Shape("NodeProto", {5: "attribute"}),
    "attribute": Shape(
        "AttributeProto", {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"}
    ),
    "sparse": Shape("SparseTensorProto", {1: "tensor", 2: "tensor"}),
    # float_data, int32_data, string_data, int64_data, raw_data, double_data, uint64_data
    "tensor": Shape("TensorProto", {}, frozenset({4, 5, 6, 7, 9, 10, 11})),
}
RAW_DATA = 9

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


def slim_model(source: BinaryIO, size: int) -> onnx.ModelProto:
    """The model of `size` bytes in `source` (seekable, at its beginning) without the contents of large tensors.

    Raises MalformedError. Memory is that of the graph, at most a small multiple of MAX_GRAPH_BYTES.
    """
    if size == 0:
        raise MalformedError("the file is empty")
    if size > MAX_FILE_BYTES:
        raise MalformedError(f"the file has {size} bytes; above 2 GiB weights must be stored as external data")
    raw = bytes(_Slimmer(source).message(_SHAPES["model"], size, 0))
    try:
        model = onnx.ModelProto.FromString(raw)
    except DecodeError as error:
        raise MalformedError(f"the file is not an ONNX model: {error}") from None
    if not model.HasField("graph"):
        raise MalformedError("the file is not an ONNX model: it has no graph")
    return model


def mark_of(tensor: onnx.TensorProto) -> tuple[int, int] | None:
    """(field number, bytes) of the contents that were left out of a tensor, or None when it is whole."""
    for entry in tensor.external_data:
        if entry.key == MARK:
            field, _, length = entry.value.partition(":")
            return int(field), int(length)
    return None


class _Slimmer:
    def __init__(self, source: BinaryIO) -> None:
        self._source = source
        self._at = 0
        self._kept = 0
        self._fields = 0

    def message(self, shape: Shape, length: int, depth: int) -> bytearray:
        """The message of `length` bytes that begins here, without the contents of large tensors."""
        if depth > MAX_DEPTH:
            self._fail(f"messages are nested deeper than {MAX_DEPTH}")
        end, out = self._at + length, bytearray()
        left_out: tuple[int, int] | None = None
        while self._at < end:
            tag = self._tag(end)
            number, wire = tag >> 3, tag & 7
            if wire != _BYTES:
                out += self._scalar(tag, wire, end, shape)
                continue
            size = self._length(number, end, shape)
            if number in shape.contents and size > KEEP_BYTES:
                left_out = (number, size)
                self._skip(size)
            else:
                out += self._nested(tag, number, size, shape, depth)
        return out + _marked(left_out) if left_out else out

    def _tag(self, end: int) -> int:
        self._fields += 1
        if self._fields > MAX_FIELDS:
            self._fail(f"the graph has more than {MAX_FIELDS} nodes, tensors and values")
        return self._varint(end)

    def _nested(self, tag: int, number: int, size: int, shape: Shape, depth: int) -> bytes:
        inner = shape.towards.get(number)
        if inner is None or size <= KEEP_BYTES:
            content: bytes | bytearray = self._take(size)
        else:
            content = self.message(_SHAPES[inner], size, depth + 1)
        return _encoded(tag) + _encoded(len(content)) + content

    def _scalar(self, tag: int, wire: int, end: int, shape: Shape) -> bytes:
        if wire == _VARINT:
            return _encoded(tag) + _encoded(self._varint(end))
        width = {_FIXED64: 8, _FIXED32: 4}.get(wire)
        if width is None or tag >> 3 == 0:
            self._fail(f"the file is not an ONNX model: {shape.name} holds a field of unknown kind")
        if self._at + width > end:
            self._fail(f"the file ends inside {shape.name}")
        return _encoded(tag) + self._take(width)

    def _length(self, number: int, end: int, shape: Shape) -> int:
        size = self._varint(end)
        if number == 0:
            self._fail(f"the file is not an ONNX model: {shape.name} holds a field numbered 0")
        if size > end - self._at:
            self._fail(
                f"field {number} of {shape.name} claims {size} bytes but only {end - self._at} follow: "
                "the file is truncated or no ONNX model"
            )
        return size

    def _varint(self, end: int) -> int:
        value = shift = 0
        while True:
            if self._at >= end or shift >= 70:
                self._fail("the file ends inside a number, or is no ONNX model")
            byte = self._read(1)[0]
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7

    def _take(self, size: int) -> bytes:
        self._kept += size
        if self._kept > MAX_GRAPH_BYTES:
            self._fail(f"the graph without weights is larger than {MAX_GRAPH_BYTES >> 20} MiB")
        return self._read(size)

    def _read(self, size: int) -> bytes:
        data = self._source.read(size)
        if len(data) != size:
            self._fail("the file is shorter than it was")
        self._at += size
        return data

    def _skip(self, size: int) -> None:
        self._at += size
        self._source.seek(self._at)

    def _fail(self, why: str) -> NoReturn:
        raise MalformedError(f"{why} (at byte {self._at})")


def _encoded(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _marked(left_out: tuple[int, int]) -> bytes:
    entry = onnx.StringStringEntryProto(key=MARK, value=f"{left_out[0]}:{left_out[1]}")
    return onnx.TensorProto(external_data=[entry]).SerializeToString()
