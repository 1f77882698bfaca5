"""Requests, answers and sampled pairs of them, made by the client library that users have."""

from __future__ import annotations

import itertools
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
from tritonclient.grpc import service_pb2
from tritonclient.utils import np_to_triton_dtype, serialize_byte_tensor

from services.monitor.intake.pairs import Pair

Arrays = Mapping[str, np.ndarray]
_numbers = itertools.count(1)


def raw(array: np.ndarray) -> bytes:
    """The array as the protocol carries it."""
    return serialize_byte_tensor(array).item() if array.dtype == object else array.tobytes()


def request(inputs: Arrays, model: str = "digits", id: str = "", **parameters: int) -> bytes:
    """A ModelInferRequest with raw contents."""
    made = service_pb2.ModelInferRequest(model_name=model, id=id)
    _fill(made.inputs, made.raw_input_contents, inputs)
    for key, value in parameters.items():
        made.parameters[key].int64_param = value
    return bytes(made.SerializeToString())


def response(outputs: Arrays, model: str = "digits", version: int = 1) -> bytes:
    """A ModelInferResponse with raw contents."""
    made = service_pb2.ModelInferResponse(model_name=model, model_version=str(version))
    _fill(made.outputs, made.raw_output_contents, outputs)
    return bytes(made.SerializeToString())


def _fill(tensors: Any, contents: Any, arrays: Arrays) -> None:
    for name, array in arrays.items():
        tensors.add(name=name, datatype=np_to_triton_dtype(array.dtype), shape=array.shape)
        contents.append(raw(array))


def pair(
    inputs: Arrays, outputs: Arrays, *, model: str = "digits", version: int = 1, request_id: str = "", **more: Any
) -> Pair:
    """A sampled gRPC request and its answer, each with an id of its own."""
    found: dict[str, Any] = {
        "time": time.time(),
        "gateway": "gateway-1",
        "via": "weight",
        "client": "client-1",
        "protocol": "grpc",
        "status": "OK",
        "duration_ms": 1.5,
        "request_id": request_id or f"request-{next(_numbers)}",
        "request": request(inputs, model),
        "response": response(outputs, model, version),
    }
    return Pair(model=model, version=version, **{**found, **more})


def digit(label: int, classes: int = 10) -> np.ndarray:
    """Probabilities that say `label`."""
    made = np.full((1, classes), 0.01, np.float32)
    made[0, label] = 1 - 0.01 * (classes - 1)
    return made
