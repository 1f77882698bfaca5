"""Calls of `inference.GRPCInferenceService` (the Open Inference Protocol), in tritonclient's messages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from tritonclient.grpc import service_pb2 as pb

from bmase import names
from bmase.core import tensors
from bmase.core.calls import Call
from bmase.core.tensors import Array

SERVICE = "/inference.GRPCInferenceService/"
INFER_TIMEOUT = 60.0
Parameter = bool | int | float | str


class Outputs(dict[str, Array]):
    """The outputs of an inference by name, and which version answered."""

    model_name: str = ""
    model_version: str = ""
    request_id: str = ""


def infer(
    model: str,
    inputs: Mapping[str, Any],
    version: int | str | None,
    *,
    outputs: Iterable[str],
    parameters: Mapping[str, Parameter],
    datatypes: Mapping[str, str],
    request_id: str,
) -> Call[pb.ModelInferResponse]:
    """One request with raw contents. `datatypes` overrides the type of an input, for example BF16 from float32."""
    request = pb.ModelInferRequest(
        model_name=names.short(names.model(model)),
        model_version=names.short(names.version(model, version)) if version is not None else "",
        id=request_id,
    )
    for name, value in inputs.items():
        array = np.asarray(value)
        datatype = datatypes.get(name) or tensors.datatype_of(array)
        request.inputs.add(name=name, datatype=datatype, shape=array.shape)
        request.raw_input_contents.append(tensors.encode(array, datatype))
    for name in outputs:
        request.outputs.add(name=name)
    for name, value in parameters.items():
        _set_parameter(request.parameters[name], value)
    return Call(SERVICE + "ModelInfer", request, pb.ModelInferResponse, INFER_TIMEOUT)


def _set_parameter(slot: Any, value: Parameter) -> None:
    if isinstance(value, bool):
        slot.bool_param = value
    elif isinstance(value, int):
        slot.int64_param = value
    elif isinstance(value, float):
        slot.double_param = value
    else:
        slot.string_param = value


def read(answer: pb.ModelInferResponse) -> Outputs:
    """The arrays of an answer."""
    found = Outputs()
    found.model_name, found.model_version, found.request_id = answer.model_name, answer.model_version, answer.id
    for position, output in enumerate(answer.outputs):
        if position < len(answer.raw_output_contents):
            raw = answer.raw_output_contents[position]
            found[output.name] = tensors.decode(raw, output.datatype, output.shape)
        else:
            found[output.name] = _typed_contents(output)
    return found


def _typed_contents(output: Any) -> Array:
    """Servers that do not send raw bytes fill one of these fields."""
    _field, values = next(iter(output.contents.ListFields()), (None, ()))
    kind = object if output.datatype == "BYTES" else tensors.DTYPES.get(output.datatype)
    return np.array(list(values), dtype=kind).reshape(output.shape)


def server_live() -> Call[pb.ServerLiveResponse]:
    """Whether the serving side is up."""
    return Call(SERVICE + "ServerLive", pb.ServerLiveRequest(), pb.ServerLiveResponse)


def server_metadata() -> Call[pb.ServerMetadataResponse]:
    """The serving side's name, version and extensions."""
    return Call(SERVICE + "ServerMetadata", pb.ServerMetadataRequest(), pb.ServerMetadataResponse)


def model_ready(model: str, version: int | str | None) -> Call[pb.ModelReadyResponse]:
    """Whether requests for the model are answered."""
    return Call(SERVICE + "ModelReady", pb.ModelReadyRequest(**_which(model, version)), pb.ModelReadyResponse)


def model_metadata(model: str, version: int | str | None) -> Call[pb.ModelMetadataResponse]:
    """Names, types and shapes of the model's tensors."""
    request = pb.ModelMetadataRequest(**_which(model, version))
    return Call(SERVICE + "ModelMetadata", request, pb.ModelMetadataResponse)


def _which(model: str, version: int | str | None) -> dict[str, str]:
    return {
        "name": names.short(names.model(model)),
        "version": names.short(names.version(model, version)) if version is not None else "",
    }
