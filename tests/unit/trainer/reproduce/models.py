"""Tiny models as files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

Array = np.ndarray[Any, Any]
WEIGHTS: Mapping[str, Array] = {
    "fc.weight": np.arange(12, dtype=np.float32).reshape(3, 4) / 8,
    "fc.bias": np.ones(4, np.float32),
}


def model(weights: Mapping[str, Array] = WEIGHTS, last: str = "Relu") -> onnx.ModelProto:
    """x W + b, then `last`, with a constant and a branch whose bodies have tensors of their own."""
    branch = helper.make_graph(
        [helper.make_node("Add", ["h", "one"], ["b"])],
        "branch",
        [],
        [helper.make_tensor_value_info("b", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.ones(4, np.float32), "one")],
    )
    nodes = [
        helper.make_node("Gemm", ["x", "fc.weight", "fc.bias"], ["g"], name="fc"),
        helper.make_node(last, ["g"], ["h"], name="act"),
        helper.make_node("Constant", [], ["yes"], value=numpy_helper.from_array(np.array(True))),
        helper.make_node("If", ["yes"], ["y"], then_branch=branch, else_branch=branch),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 4])],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(made)
    return made


def safetensors(path: Path, header: Any, content: bytes) -> Path:
    text = json.dumps(header).encode() if not isinstance(header, bytes) else header
    path.write_bytes(len(text).to_bytes(8, "little") + text + content)
    return path


def save_safetensors(path: Path, weights: Mapping[str, Array] = WEIGHTS) -> Path:
    """As the library writes it: float32 tensors one after the other."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    content = b""
    for name, array in weights.items():
        begin, content = len(content), content + array.tobytes()
        header[name] = {"dtype": "F32", "shape": list(array.shape), "data_offsets": [begin, len(content)]}
    return safetensors(path, header, content)
