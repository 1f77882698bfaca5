"""Whether this Triton computes right at all: a tiny ONNX model, y = 2 x + 1, checked by value.

Readiness is not enough: a Python backend under the wrong numpy says ready and reads every input as zeros.
The model is written with a few lines of protobuf's wire format, so that the agent's image needs no onnx package.
"""

from __future__ import annotations

import struct
from pathlib import Path

from tritonclient.grpc import service_pb2 as pb

from services.patcher.agent.tensors import Tensor, TensorError
from services.patcher.agent.triton import Triton, TritonRefusedError

# No model of a user can be called so: their names begin with a letter or digit.
NAME = "_bmase_selfcheck"
BACKEND = "onnxruntime"
LOAD_SECONDS = 60.0
INFER_SECONDS = 10.0
_VALUES = (-3.0, 0.5, 7.25)

CONFIG = f"""\
name: "{NAME}"
backend: "onnxruntime"
max_batch_size: 0
input {{ name: "x" data_type: TYPE_FP32 dims: [ -1 ] }}
output {{ name: "y" data_type: TYPE_FP32 dims: [ -1 ] }}
instance_group {{ count: 1 kind: KIND_CPU }}
"""


async def check(triton: Triton, repository: Path) -> str:
    """What is wrong with the server; empty when it computes right. Raises TritonGoneError when it does not answer."""
    try:
        _lay_out(repository / NAME)
        await triton.load(NAME, LOAD_SECONDS)
        answer = await triton.infer(_request(), INFER_SECONDS)
        await triton.unload(NAME)
        found = Tensor("y", "FP32", (len(_VALUES),), b"".join(answer.raw_output_contents[:1])).values()
    except (TritonRefusedError, TensorError) as error:
        return f"the self-check of the backend onnxruntime failed: {error}"
    except OSError as error:
        return f"the self-check cannot be written into the model repository: {error.strerror}"
    if not all(abs(y - (2 * x + 1)) <= 1e-5 for x, y in zip(_VALUES, found, strict=True)):  # no NaN passes
        return f"the backend onnxruntime computes wrong values: 2 x + 1 of {list(_VALUES)} came out as {found.tolist()}"
    return ""


def _lay_out(folder: Path) -> None:
    """It stays there: a disk that is full later must not stand in the way of a check."""
    for path, content in ((folder / "config.pbtxt", CONFIG.encode()), (folder / "1" / "model.onnx", onnx_model())):
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists() or path.read_bytes() != content:
            path.write_bytes(content)


def _request() -> pb.ModelInferRequest:
    request = pb.ModelInferRequest(model_name=NAME)
    request.inputs.add(name="x", datatype="FP32", shape=[len(_VALUES)])
    request.raw_input_contents.append(struct.pack(f"<{len(_VALUES)}f", *_VALUES))
    return request


def onnx_model() -> bytes:
    """An ONNX ModelProto (IR 8, opset 13) with one input x, one output y, both float[n], and y = 2 x + 1."""
    nodes = _node("Mul", ("x", "a"), "m") + _node("Add", ("m", "b"), "y")
    constants = _field(5, _scalar("a", 2.0)) + _field(5, _scalar("b", 1.0))
    graph = nodes + _field(2, b"selfcheck") + constants + _field(11, _vector("x")) + _field(12, _vector("y"))
    return _number(1, 8) + _field(7, graph) + _field(8, _number(2, 13))


def _node(operator: str, inputs: tuple[str, ...], output: str) -> bytes:
    named = b"".join(_field(1, name.encode()) for name in inputs)
    return _field(1, named + _field(2, output.encode()) + _field(4, operator.encode()))


def _scalar(name: str, value: float) -> bytes:
    return _number(2, 1) + _field(8, name.encode()) + _field(9, struct.pack("<f", value))


def _vector(name: str) -> bytes:
    shape = _field(2, _field(1, _field(2, b"n")))
    return _field(1, name.encode()) + _field(2, _field(1, _number(1, 1) + shape))


def _field(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _number(number: int, value: int) -> bytes:
    return _varint(number << 3) + _varint(value)


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
