"""Members that cannot be one ONNX file, side by side in one version that Triton's Python backend serves. Pure.

    config.pbtxt
    1/model.py          runs the members and averages (`triton_model`)
    1/members.json      files, weights, which of them give logits
    1/member0.onnx ...

Unlike Triton's ensemble scheduling (`triton`) it needs no other model on its node, so it is deployed as any version is.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import onnx
from google.protobuf import text_format
from onnx import TensorProto
from tritonclient.grpc import model_config_pb2 as triton

from services.trainer.ensembles import graphs
from services.trainer.ensembles.graphs import Port
from services.trainer.ensembles.interface import ports_of
from services.trainer.ensembles.members import Member, check_weights, refused

BATCH = 32
MODEL = Path(__file__).with_name("triton_model.py")
TYPES: dict[int, Any] = {
    TensorProto.BOOL: triton.TYPE_BOOL,
    TensorProto.UINT8: triton.TYPE_UINT8,
    TensorProto.UINT16: triton.TYPE_UINT16,
    TensorProto.UINT32: triton.TYPE_UINT32,
    TensorProto.UINT64: triton.TYPE_UINT64,
    TensorProto.INT8: triton.TYPE_INT8,
    TensorProto.INT16: triton.TYPE_INT16,
    TensorProto.INT32: triton.TYPE_INT32,
    TensorProto.INT64: triton.TYPE_INT64,
    TensorProto.FLOAT16: triton.TYPE_FP16,
    TensorProto.FLOAT: triton.TYPE_FP32,
    TensorProto.DOUBLE: triton.TYPE_FP64,
    TensorProto.STRING: triton.TYPE_STRING,
}


def side_by_side(members: Sequence[Member]) -> dict[str, bytes]:
    """Path in the version -> content; `members` are in one form (`adapt`). Members of weight 0 are left out.

    Raises DomainError(INVALID_MODEL_FILE) or InvalidArgument, naming the member.
    """
    check_weights([(member.name, member.weight) for member in members])
    weighed = [member for member in members if member.weight > 0]
    first = weighed[0]
    inputs = ports_of(first, graphs.inputs(first.model), "input")
    outputs = ports_of(first, first.model.graph.output, "output")
    files = {f"member{place}.onnx": member for place, member in enumerate(weighed)}
    plan = {
        "inputs": list(inputs),
        "output": next(iter(outputs)),
        "members": [{"file": f, "name": m.name, "weight": m.weight, "logits": m.logits} for f, m in files.items()],
    }
    return {
        "config.pbtxt": _config(first, list(inputs.values()), list(outputs.values())),
        "1/model.py": MODEL.read_bytes(),
        "1/members.json": json.dumps(plan, indent=2, sort_keys=True).encode() + b"\n",
        **{f"1/{file}": _bytes(member.model) for file, member in files.items()},
    }


def _config(member: Member, inputs: Sequence[Port], outputs: Sequence[Port]) -> bytes:
    config = triton.ModelConfig(backend="python", max_batch_size=BATCH)
    for ports, side in ((inputs, config.input), (outputs, config.output)):
        for port in ports:
            if port.element not in TYPES:
                raise refused(member.name, f"its tensor {port.name!r} is {port}, which Triton does not know", "")
            dims = [size if isinstance(size, int) else -1 for size in (port.dims or ())[1:]]
            # One number a row is a tensor of shape [1] in Triton's words.
            side.add(name=port.name, data_type=TYPES[port.element], dims=dims or [1])
            if not dims:
                side[-1].reshape.SetInParent()
    return str(text_format.MessageToString(config)).encode()


def _bytes(model: onnx.ModelProto) -> bytes:
    return bytes(model.SerializeToString(deterministic=True))
