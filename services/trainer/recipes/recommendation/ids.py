"""Ids of users inside the graph, so that clients ask with what they have and not with numbers of ours."""

from __future__ import annotations

import onnx
from onnx import TensorProto, helper

from services.trainer.recipes.recommendation.interactions import UNKNOWN, Ids

ML_OPSET = 3


def with_ids(model: onnx.ModelProto, users: Ids, name: str) -> onnx.ModelProto:
    """The graph with its input `name` as ids, int64 or text as the rows had them; who is not known gets UNKNOWN."""
    graph = model.graph
    inner = f"{name}.number"
    for node in graph.node:
        for at, each in enumerate(node.input):
            if each == name:
                node.input[at] = inner
    kind, keys = ("strings", [str(each) for each in users.values]) if users.texts else ("int64s", users.values.tolist())
    attributes = {f"keys_{kind}": keys, "values_int64s": [*range(users.first, users.first + len(keys))]}
    encoder = helper.make_node(
        "LabelEncoder",
        [name],
        [inner],
        name=f"{name}.numbered",
        domain="ai.onnx.ml",
        default_int64=UNKNOWN,
        **attributes,
    )
    graph.node.insert(0, encoder)
    next(each for each in graph.input if each.name == name).type.tensor_type.elem_type = (
        TensorProto.STRING if users.texts else TensorProto.INT64
    )
    model.opset_import.append(helper.make_opsetid("ai.onnx.ml", ML_OPSET))
    return model
