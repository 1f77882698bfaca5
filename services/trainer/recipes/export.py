"""ONNX files of torch modules: the same weights give the same bytes, on any machine and from any folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx
    from google.protobuf.message import Message
    from torch import Tensor, nn

OPSET = 20


def export(
    module: nn.Module, example: Sequence[Tensor], inputs: Sequence[str], outputs: Sequence[str], path: Path
) -> None:
    """`example`: one tensor for each of the inputs, with two rows; the first dimension of all of them is free."""
    import onnx  # noqa: PLC0415
    import torch  # noqa: PLC0415

    rows = torch.export.Dim("rows")
    program = torch.onnx.export(
        module.eval().cpu(),
        tuple(example),
        input_names=list(inputs),
        output_names=list(outputs),
        dynamic_shapes=[{0: rows} for _ in example],
        opset_version=OPSET,
        dynamo=True,
        external_data=False,
        verbose=False,
    )
    assert program is not None
    model = bare(program.model_proto)
    onnx.checker.check_model(model, full_check=True)
    path.write_bytes(model.SerializeToString(deterministic=True))


def bare(model: onnx.ModelProto) -> onnx.ModelProto:
    """Without what says where and by which lines it was made: paths of this machine, and no part of the model."""
    nodes = [*model.graph.node, *(node for function in model.functions for node in function.node)]
    values = [*model.graph.value_info, *model.graph.input, *model.graph.output, *model.graph.initializer]
    messages: list[Message] = [model, model.graph, *model.functions, *nodes, *values]
    for message in messages:
        message.ClearField("metadata_props")
        message.ClearField("doc_string")
    return model
