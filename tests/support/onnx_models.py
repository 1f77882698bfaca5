"""Small ONNX models for tests, made node by node, and the repository entries that serve them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET, IR = 17, 8
# Triton's name of a datatype -> ONNX element type.
ELEMENTS = {
    "BOOL": TensorProto.BOOL,
    "UINT8": TensorProto.UINT8,
    "UINT16": TensorProto.UINT16,
    "UINT32": TensorProto.UINT32,
    "UINT64": TensorProto.UINT64,
    "INT8": TensorProto.INT8,
    "INT16": TensorProto.INT16,
    "INT32": TensorProto.INT32,
    "INT64": TensorProto.INT64,
    "FP16": TensorProto.FLOAT16,
    "BF16": TensorProto.BFLOAT16,
    "FP32": TensorProto.FLOAT,
    "FP64": TensorProto.DOUBLE,
    "BYTES": TensorProto.STRING,
}
Shape = Sequence[int | str | None]


def model(
    nodes: Sequence[onnx.NodeProto],
    inputs: Sequence[onnx.ValueInfoProto],
    outputs: Sequence[onnx.ValueInfoProto],
    initializers: Sequence[onnx.TensorProto] = (),
) -> onnx.ModelProto:
    """A checked model of one graph."""
    graph = helper.make_graph(list(nodes), "graph", list(inputs), list(outputs), list(initializers))
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR)
    onnx.checker.check_model(made)
    return made


def port(name: str, datatype: str, shape: Shape) -> onnx.ValueInfoProto:
    """An input or output; a string in `shape` is a dimension that varies."""
    return helper.make_tensor_value_info(name, ELEMENTS[datatype], list(shape))


def affine(a: float = 1.0, b: float = 0.0, width: int = 4, batch: int | str = "batch") -> onnx.ModelProto:
    """y = a * x + b on FP32 [batch, width]: versions with other numbers can be told apart by their answers."""
    return model(
        [helper.make_node("Mul", ["x", "a"], ["ax"]), helper.make_node("Add", ["ax", "b"], ["y"])],
        [port("x", "FP32", [batch, width])],
        [port("y", "FP32", [batch, width])],
        [numpy_helper.from_array(np.array(value, np.float32), name) for name, value in (("a", a), ("b", b))],
    )


def failing(parts: int, a: float = 1.0, b: float = 0.0, width: int = 4) -> onnx.ModelProto:
    """y = a * x + b, but an error inside the graph for one input in `parts`: x[0, 0] counts them."""
    nodes = [
        helper.make_node("Mul", ["x", "a"], ["ax"]),
        helper.make_node("Add", ["ax", "b"], ["axb"]),
        helper.make_node("Slice", ["x", "zeros", "ones"], ["first"]),
        helper.make_node("Cast", ["first"], ["count"], to=TensorProto.INT64),
        helper.make_node("Reshape", ["count", "one"], ["number"]),
        helper.make_node("Mod", ["number", "parts"], ["part"]),
        helper.make_node("Equal", ["part", "last"], ["is_last"]),
        helper.make_node("Cast", ["is_last"], ["too_many"], to=TensorProto.INT64),
        helper.make_node("Add", ["one", "too_many"], ["wanted"]),
        helper.make_node("Reshape", ["zero", "wanted"], ["nothing"]),
        helper.make_node("Add", ["axb", "nothing"], ["y"]),
    ]
    constants = {
        "a": np.float32(a),
        "b": np.float32(b),
        "zeros": np.zeros(2, np.int64),
        "ones": np.ones(2, np.int64),
        "parts": np.int64(parts),
        "last": np.int64(parts - 1),
        "one": np.ones(1, np.int64),
        "zero": np.zeros(1, np.float32),
    }
    ports = [port("x", "FP32", ["batch", width])], [port("y", "FP32", ["batch", width])]
    return model(nodes, *ports, [numpy_helper.from_array(np.asarray(v), name) for name, v in constants.items()])


def linear(weights: np.ndarray, bias: np.ndarray) -> onnx.ModelProto:
    """y = x @ weights + bias on FP32 [batch, rows of weights]."""
    rows, columns = weights.shape
    return model(
        [helper.make_node("Gemm", ["x", "w", "b"], ["y"])],
        [port("x", "FP32", ["batch", rows])],
        [port("y", "FP32", ["batch", columns])],
        [
            numpy_helper.from_array(weights.astype(np.float32), "w"),
            numpy_helper.from_array(bias.astype(np.float32), "b"),
        ],
    )


def identity(datatype: str, shape: Shape = ("batch", 4)) -> onnx.ModelProto:
    """y = x for any datatype."""
    node = helper.make_node("Identity", ["x"], ["y"])
    return model([node], [port("x", datatype, shape)], [port("y", datatype, shape)])


def slow(loops: int, width: int = 4, side: int = 128) -> onnx.ModelProto:
    """y = x after `loops` products of side*side matrices (of zeros): about 0.05 ms each at side 128 on one core."""
    body = helper.make_graph(
        [
            helper.make_node("MatMul", ["m", "m"], ["m_out"]),
            helper.make_node("Identity", ["go"], ["go_out"]),
        ],
        "body",
        [port("i", "INT64", []), port("go", "BOOL", []), port("m", "FP32", [side, side])],
        [port("go_out", "BOOL", []), port("m_out", "FP32", [side, side])],
    )
    nodes = [
        # The matrix depends on the input, or the whole loop would be folded into a constant at load.
        helper.make_node("ReduceSum", ["x"], ["sum"], keepdims=0),
        helper.make_node("Mul", ["sum", "zero"], ["nothing"]),
        helper.make_node("Expand", ["nothing", "size"], ["m0"]),
        helper.make_node("Loop", ["loops", "go", "m0"], ["m1"], body=body),
        helper.make_node("ReduceSum", ["m1"], ["still_nothing"], keepdims=0),
        helper.make_node("Add", ["x", "still_nothing"], ["y"]),
    ]
    constants = {
        "zero": np.float32(0),
        "size": np.array([side, side], np.int64),
        "loops": np.int64(loops),
        "go": np.bool_(True),
    }
    return model(
        nodes,
        [port("x", "FP32", ["batch", width])],
        [port("y", "FP32", ["batch", width])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )


def write(
    repository: Path, name: str, made: onnx.ModelProto | bytes, config: str | None = None, version: int = 1
) -> Path:
    """Lays a model out the way Triton reads it; returns the model's folder."""
    folder = repository / name
    (folder / str(version)).mkdir(parents=True, exist_ok=True)
    content = made if isinstance(made, bytes) else made.SerializeToString()
    (folder / str(version) / "model.onnx").write_bytes(content)
    if config is not None:
        (folder / "config.pbtxt").write_text(config, encoding="utf-8")
    return folder


def config_text(
    name: str,
    inputs: Sequence[tuple[str, str, Sequence[int]]],
    outputs: Sequence[tuple[str, str, Sequence[int]]],
    max_batch_size: int = 8,
    **extra: Any,
) -> str:
    """A config.pbtxt; `extra` are further top-level fields in protobuf text form."""
    lines = [f'name: "{name}"', 'backend: "onnxruntime"', f"max_batch_size: {max_batch_size}"]
    for kind, ports in (("input", inputs), ("output", outputs)):
        for port_name, datatype, dims in ports:
            type_name = "TYPE_" + ("STRING" if datatype == "BYTES" else datatype)
            lines.append(f'{kind} {{ name: "{port_name}" data_type: {type_name} dims: {list(dims)} }}')
    fields = {"instance_group": "[{ kind: KIND_CPU count: 1 }]", **extra}
    lines += [f"{key} {value}" for key, value in fields.items()]
    return "\n".join(lines) + "\n"


def write_affine(repository: Path, name: str, a: float, b: float, max_batch_size: int = 8, version: int = 1) -> Path:
    """An affine model with its whole configuration and dynamic batching."""
    port_text = [("x", "FP32", [4])], [("y", "FP32", [4])]
    config = config_text(name, *port_text, max_batch_size=max_batch_size, dynamic_batching="{ }")
    return write(repository, name, affine(a, b), config, version)


def identities(datatypes: Sequence[str], shape: Shape = ("batch", 4)) -> onnx.ModelProto:
    """y_T = x_T for every datatype T, in one graph."""
    return model(
        [helper.make_node("Identity", [f"x_{name}"], [f"y_{name}"]) for name in datatypes],
        [port(f"x_{name}", name, shape) for name in datatypes],
        [port(f"y_{name}", name, shape) for name in datatypes],
    )


def scaled_by_default(width: int = 2) -> onnx.ModelProto:
    """y = x * k, where k is an input that may be left out (an initialiser of tens)."""
    return model(
        [helper.make_node("Mul", ["x", "k"], ["y"])],
        [port("x", "FP32", [width]), port("k", "FP32", [width])],
        [port("y", "FP32", [width])],
        [numpy_helper.from_array(np.full(width, 10, np.float32), "k")],
    )


def lookup(table: Sequence[float]) -> onnx.ModelProto:
    """y = table[x] for INT64 x [batch, 1]: an index outside the table is an error only the graph can find."""
    return model(
        [helper.make_node("Gather", ["table", "x"], ["y"])],
        [port("x", "INT64", ["batch", 1])],
        [port("y", "FP32", ["batch", 1])],
        [numpy_helper.from_array(np.array(table, np.float32), "table")],
    )


def column_sums(width: int = 4) -> onnx.ModelProto:
    """y [1, width] = sums over the batch: an output whose first dimension is not the batch."""
    return model(
        [helper.make_node("ReduceSum", ["x", "axes"], ["y"], keepdims=1)],
        [port("x", "FP32", ["batch", width])],
        [port("y", "FP32", ["rows", width])],
        [numpy_helper.from_array(np.array([0], np.int64), "axes")],
    )


def rows_seen(width: int = 4) -> onnx.ModelProto:
    """y = the number of rows of the run a request was part of: shows from outside how requests were put together."""
    return model(
        [
            helper.make_node("Shape", ["x"], ["rows"], start=0, end=1),
            helper.make_node("Cast", ["rows"], ["count"], to=TensorProto.FLOAT),
            helper.make_node("Mul", ["x", "zero"], ["nothing"]),
            helper.make_node("Add", ["nothing", "count"], ["y"]),
        ],
        [port("x", "FP32", ["batch", width])],
        [port("y", "FP32", ["batch", width])],
        [numpy_helper.from_array(np.array(0, np.float32), "zero")],
    )
