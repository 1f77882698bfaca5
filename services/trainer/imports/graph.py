"""The ONNX file that a conversion made: brought to one opset and format, and its inputs as ports."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import onnx
from onnx import helper, version_converter

from services.trainer.imports.probes import Port

OPSET, IR = 20, 10
DEFAULT = ("", "ai.onnx")
Ranges = Mapping[str, tuple[float, float]]


def settle(path: Path, ranges: Ranges) -> tuple[list[Port], list[str]]:
    """Rewrites the file at opset 20 and IR 10, where it can be; what people should know of it."""
    model = onnx.load(str(path))
    model, notes = at_opset(model)
    model.ir_version = IR
    onnx.save_model(model, str(path), save_as_external_data=False)
    found = ports(model, ranges)
    fixed = [port.name for port in found if not isinstance(port.batch, str)]
    if fixed:
        notes.append(
            f"takes batches of one size only: {', '.join(f'{port.name} {list(port.shape)}' for port in found)}"
        )
    return found, notes


def at_opset(model: onnx.ModelProto) -> tuple[onnx.ModelProto, list[str]]:
    """At opset 20 by ONNX's own converter; one that it does not know how to bring there stays where it is."""
    version = next((each.version for each in model.opset_import if each.domain in DEFAULT), None)
    if version == OPSET:
        return model, []
    if not any(node.domain in DEFAULT for node in model.graph.node):
        kept = [each for each in model.opset_import if each.domain not in DEFAULT]
        del model.opset_import[:]
        model.opset_import.extend([*kept, helper.make_opsetid("", OPSET)])
        return model, []
    try:
        return version_converter.convert_version(model, OPSET), []
    except Exception as error:
        said = str(error).strip().splitlines()
        return model, [f"stays at opset {version}: {said[0][:200] if said else type(error).__name__}"]


def ports(model: onnx.ModelProto, ranges: Ranges) -> list[Port]:
    """The inputs that have to be given, in order."""
    constants = {each.name for each in model.graph.initializer}
    return [_port(value, ranges) for value in model.graph.input if value.name not in constants]


def _port(value: onnx.ValueInfoProto, ranges: Ranges) -> Port:
    if not value.type.HasField("tensor_type"):
        raise ValueError(f"input {value.name} is no tensor")
    tensor = value.type.tensor_type
    shape = tuple(
        dim.dim_value if dim.HasField("dim_value") and dim.dim_value > 0 else dim.dim_param or f"size{place}"
        for place, dim in enumerate(tensor.shape.dim)
    )
    dtype = helper.tensor_dtype_to_np_dtype(tensor.elem_type)
    low, high = ranges.get(value.name, (None, None))
    return Port(value.name, "str" if dtype.kind in "OUS" else dtype.name, shape, low, high)
