"""Three ways in which a new version can be bad although it loads and answers, made from a good one by a small change of
its graph. A release has to find each of them by itself.

Nothing here draws at random: which requests fail is decided by the image, as with a defect in real code.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

FAILING_SHARE = 10  # one image in ten
SLOW_LOOPS = 600
SLOW_SIDE = 128
WRONG_BY = 1


def failing(model: Path, target: Path) -> Path:
    """Gives a list another length for one image in ten than the list has."""
    graph = onnx.load(model)
    _constants(
        graph,
        hash_by=np.float32(997.0),
        one=np.float32(1.0),
        parts=np.float32(FAILING_SHARE),
        last=np.int64(FAILING_SHARE - 1),
        length=np.ones(1, np.int64),
        list=np.zeros(1, np.float32),
    )
    last = _before_outputs(graph)
    graph.graph.node.extend([
        helper.make_node("ReduceSum", ["image"], ["ink"], keepdims=0),
        helper.make_node("Mul", ["ink", "hash_by"], ["hashed"]),
        helper.make_node("Mod", ["hashed", "one"], ["fraction"], fmod=1),
        helper.make_node("Mul", ["fraction", "parts"], ["part"]),
        helper.make_node("Cast", ["part"], ["whole"], to=TensorProto.INT64),
        helper.make_node("Equal", ["whole", "last"], ["is_last"]),
        helper.make_node("Cast", ["is_last"], ["more"], to=TensorProto.INT64),
        helper.make_node("Add", ["length", "more"], ["wanted"]),
        helper.make_node("Reshape", ["list", "wanted"], ["nothing"]),
        helper.make_node("Add", [last["probabilities"], "nothing"], ["probabilities"]),
        helper.make_node("Identity", [last["digit"]], ["digit"]),
    ])  # fmt: skip
    return _saved(graph, target)


def slow(model: Path, target: Path) -> Path:
    """Computes much that nobody needs."""
    graph = onnx.load(model)
    _constants(
        graph,
        zero=np.float32(0),
        side=np.array([SLOW_SIDE, SLOW_SIDE], np.int64),
        loops=np.int64(SLOW_LOOPS),
        go=np.bool_(True),
    )
    last = _before_outputs(graph)
    body = helper.make_graph(
        [
            helper.make_node("MatMul", ["m", "m"], ["m_out"]),
            helper.make_node("Identity", ["go_in"], ["go_out"]),
        ],
        "busy",
        [_port("i", TensorProto.INT64, []), _port("go_in", TensorProto.BOOL, []), _square("m")],
        [_port("go_out", TensorProto.BOOL, []), _square("m_out")],
    )
    graph.graph.node.extend([
        helper.make_node("ReduceSum", ["image"], ["ink"], keepdims=0),
        helper.make_node("Mul", ["ink", "zero"], ["start"]),
        helper.make_node("Expand", ["start", "side"], ["m0"]),
        helper.make_node("Loop", ["loops", "go", "m0"], ["m1"], body=body),
        helper.make_node("ReduceSum", ["m1"], ["nothing"], keepdims=0),
        helper.make_node("Add", [last["probabilities"], "nothing"], ["probabilities"]),
        helper.make_node("Identity", [last["digit"]], ["digit"]),
    ])  # fmt: skip
    return _saved(graph, target)


def wrong(model: Path, target: Path) -> Path:
    """Sure of itself and one off: what labels would show and neither status nor latency do."""
    graph = onnx.load(model)
    order = (np.arange(10) - WRONG_BY) % 10
    _constants(graph, order=order.astype(np.int64), by=np.int64(WRONG_BY), ten=np.int64(10))
    last = _before_outputs(graph)
    graph.graph.node.extend([
        helper.make_node("Gather", [last["probabilities"], "order"], ["probabilities"], axis=1),
        helper.make_node("Add", [last["digit"], "by"], ["more"]),
        helper.make_node("Mod", ["more", "ten"], ["digit"]),
    ])  # fmt: skip
    return _saved(graph, target)


def _before_outputs(model: onnx.ModelProto) -> dict[str, str]:
    """Gives the tensors behind the outputs other names, so that nodes can come between; output -> its tensor."""
    renamed = {output.name: f"{output.name}_before" for output in model.graph.output}
    for node in model.graph.node:
        for names in (node.input, node.output):
            for index, name in enumerate(names):
                names[index] = renamed.get(name, name)
    return renamed


def _constants(model: onnx.ModelProto, **values: np.generic | np.ndarray) -> None:
    taken = {tensor.name for tensor in model.graph.initializer}
    assert not taken & values.keys(), "the graph has tensors of these names already"
    model.graph.initializer.extend(numpy_helper.from_array(np.asarray(v), name) for name, v in values.items())


def _port(name: str, kind: int, shape: list[int]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)


def _square(name: str) -> onnx.ValueInfoProto:
    return _port(name, TensorProto.FLOAT, [SLOW_SIDE, SLOW_SIDE])


def _saved(model: onnx.ModelProto, target: Path) -> Path:
    onnx.checker.check_model(model)
    target.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, str(target))
    return target
