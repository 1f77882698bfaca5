"""The weighted average of several tensors as ONNX nodes, and as a model of its own.

Averages are taken in float32 at least: sixteen bits would lose what small weights add.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from services.kit.errors import InvalidArgument, Violation

MIN_OPSET = 13  # Softmax over the last axis alone
OPSET, IR = 17, 8  # of the model of its own
WIDER: dict[int, int] = {TensorProto.FLOAT16: TensorProto.FLOAT, TensorProto.BFLOAT16: TensorProto.FLOAT}
FLOATS: frozenset[int] = frozenset({TensorProto.FLOAT, TensorProto.DOUBLE, *WIDER})
# A fixed size, the name of an open one, or open without a name.
Dims = tuple[int | str | None, ...]


@dataclass(frozen=True, slots=True)
class Source:
    """A tensor to average; `logits`: it becomes probabilities first, since those were weighed."""

    tensor: str
    weight: float
    logits: bool = False


@dataclass(frozen=True, slots=True)
class Pool:
    """One output: the average of its sources, all of this element type and shape (batch dimension included)."""

    output: str
    element: int
    dims: Dims
    sources: tuple[Source, ...]


def nodes(pool: Pool, prefix: str) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
    """Nodes that give `pool.output`, and their initialisers; new names begin with `prefix`."""
    made: list[onnx.NodeProto] = []
    weights: list[onnx.TensorProto] = []
    work = WIDER.get(pool.element, pool.element)

    def add(operator: str, inputs: list[str], step: str, attributes: Mapping[str, Any] = MappingProxyType({})) -> str:
        name = f"{prefix}{step}"
        made.append(helper.make_node(operator, inputs, [name], name=name, **attributes))
        return name

    parts = []
    for place, source in enumerate(pool.sources):
        tensor = source.tensor
        if work != pool.element:
            tensor = add("Cast", [tensor], f"wide{place}", {"to": work})
        if source.logits:
            operator = squashing(pool)
            tensor = add(operator, [tensor], f"chances{place}", {"axis": -1} if operator == "Softmax" else {})
        weights.append(_constant(f"{prefix}weight{place}", source.weight, work))
        parts.append(add("Mul", [tensor, weights[-1].name], f"part{place}"))
    total = add("Sum", parts, "total")
    made.append(_last(total, pool, work, f"{prefix}output"))
    return made, weights


def _last(total: str, pool: Pool, work: int, name: str) -> onnx.NodeProto:
    if work == pool.element:
        return helper.make_node("Identity", [total], [pool.output], name=name)
    return helper.make_node("Cast", [total], [pool.output], name=name, to=pool.element)


def _constant(name: str, value: float, element: int) -> onnx.TensorProto:
    return numpy_helper.from_array(np.array(value, dtype=helper.tensor_dtype_to_np_dtype(element)), name)


def squashing(pool: Pool) -> str:
    """The operator that makes probabilities of logits: over several classes, or of the positive one."""
    if len(pool.dims) < 2 or pool.dims[-1] == 1:
        return "Sigmoid"
    if isinstance(pool.dims[-1], int):
        return "Softmax"
    why = "they are logits, but the number of classes is open; export the model with a fixed one"
    raise InvalidArgument([Violation(f"outputs[{pool.output}]", why)])


def step(pools: Sequence[Pool]) -> onnx.ModelProto:
    """A checked model whose inputs are all the sources' tensors, and whose outputs are the pools'."""
    graph = onnx.GraphProto(name="average")
    for place, pool in enumerate(pools):
        made, weights = nodes(pool, f"average{place}/")
        graph.node.extend(made)
        graph.initializer.extend(weights)
        dims = list(pool.dims)
        graph.input.extend(helper.make_tensor_value_info(s.tensor, pool.element, dims) for s in pool.sources)
        graph.output.append(helper.make_tensor_value_info(pool.output, pool.element, dims))
    opsets = [helper.make_opsetid("", OPSET)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=IR, producer_name="bmase")
    onnx.checker.check_model(model, full_check=True)
    return model
