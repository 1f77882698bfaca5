"""ModelInferRequest and ModelInferResponse, with raw or typed contents."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from google.protobuf.message import DecodeError
from tritonclient.grpc import service_pb2

from services.monitor.oip.message import MAX_TENSORS, Malformed, Message, Tensor, Tensors
from services.monitor.oip.packing import unframed
from services.monitor.oip.tensors import from_raw, from_values, to_raw

# FP16 and BF16 have no typed contents.
_CONTENTS = {
    "BOOL": "bool_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}


def read_request(data: bytes, json_bytes: int = 0) -> Message:
    """A request's inputs; there is no JSON in it."""
    found = parse(service_pb2.ModelInferRequest, data)
    return _message(found, found.inputs, found.raw_input_contents)


def read_response(data: bytes, json_bytes: int = 0) -> Message:
    """An answer's outputs."""
    found = parse(service_pb2.ModelInferResponse, data)
    return _message(found, found.outputs, found.raw_output_contents)


def parse(kind: Any, data: bytes) -> Any:
    """The protobuf message, framed or bare."""
    try:
        return kind.FromString(unframed(data))
    except DecodeError:
        raise Malformed(f"the bytes are no {kind.DESCRIPTOR.name}") from None


def request_of(model: str, message: Message) -> Any:
    """A request with raw contents that asks what `message` asked."""
    made = service_pb2.ModelInferRequest(model_name=model, id=message.id)
    for name, tensor in message.tensors.items():
        made.inputs.add(name=name, datatype=tensor.datatype, shape=tensor.array.shape)
        made.raw_input_contents.append(to_raw(tensor))
    return made


def _message(found: Any, tensors: Sequence[Any], raws: Sequence[bytes]) -> Message:
    if len(tensors) > MAX_TENSORS:
        raise Malformed(f"the message has {len(tensors)} tensors")
    if raws and len(raws) != len(tensors):
        raise Malformed(f"{len(tensors)} tensors have {len(raws)} raw contents")
    made: Tensors = {}
    for index, tensor in enumerate(tensors):
        made[tensor.name] = _raw(tensor, raws[index]) if raws else _typed(tensor)
    sequence = "sequence_id" in found.parameters
    return Message(found.id, found.model_name, found.model_version, made, sequence)


def _raw(tensor: Any, data: bytes) -> Tensor:
    return from_raw(tensor.name, tensor.datatype, list(tensor.shape), data)


def _typed(tensor: Any) -> Tensor:
    name = _CONTENTS.get(tensor.datatype)
    if name is None:
        raise Malformed(f"{tensor.name!r:.80} has no raw contents, and {tensor.datatype!r:.40} has no others")
    return from_values(tensor.name, tensor.datatype, list(tensor.shape), getattr(tensor.contents, name))
