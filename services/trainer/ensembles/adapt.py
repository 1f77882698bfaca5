"""Members brought to one form: the inputs of all of them together, and one output under one name. Pure.

Members of other libraries take the same columns under other names, in other types and shapes: a picture as [1, 28, 28]
here and as [784] there. Each member gets the inputs of the whole, and casts and reshapes what is its own.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper, shape_inference

from services.trainer.ensembles import graphs
from services.trainer.ensembles.graphs import Port, element_name
from services.trainer.ensembles.interface import ports_of
from services.trainer.ensembles.members import Member, refused
from services.trainer.ensembles.opsets import plain
from services.trainer.ensembles.pooling import FLOATS

OWN = "own/"
Columns = tuple[str, ...]


@dataclass(frozen=True)
class Intake:
    """What the whole takes: the columns that feed an input -> that input, as the first member has it."""

    ports: Mapping[Columns, Port]

    def names(self) -> dict[str, Columns]:
        """Input -> its columns."""
        return {port.name: columns for columns, port in self.ports.items()}


def intake(members: Sequence[Member], columns: Mapping[str, Mapping[str, Columns]]) -> Intake:
    """The inputs of all members together; `columns`: member -> tensor -> what feeds it. Raises DomainError."""
    found: dict[Columns, Port] = {}
    for member in members:
        for name, port in inputs_of(member).items():
            own = columns[member.name][name]
            if own not in found:
                found[own] = replace(port, name=_unlike(name, [each.name for each in found.values()]))
            _cast_of(member, found[own], port)
            _reshape_of(member, found[own], port)
    return Intake(found)


def _unlike(name: str, others: Collection[str]) -> str:
    """Two members may call different columns alike."""
    numbered = (f"{name}_{number}" for number in range(2, len(others) + 3))
    return next(each for each in (name, *numbered) if each not in others)


def inputs_of(member: Member) -> dict[str, Port]:
    """By name; DomainError for what takes no batches."""
    found = ports_of(member, graphs.inputs(member.model), "input")
    for port in found.values():
        if not port.dims or isinstance(port.dims[0], int):
            why = f"its input {port.name!r} is {port}, which has no open first dimension for the rows of a batch"
            raise refused(member.name, why, "export it with one")
    return found


def output_of(member: Member, name: str = "") -> Port:
    """The output of this name, or the first that holds fractions; raises DomainError where there is none."""
    model = member.model
    if any(not value.type.tensor_type.HasField("shape") for value in model.graph.output):
        model = shape_inference.infer_shapes(model)
    ports = [port for value in model.graph.output if (port := graphs.port(value)) is not None]
    known = ", ".join(f"{port.name!r} ({port})" for port in ports) or "no tensor"
    for port in ports:
        if port.element in FLOATS and name in ("", port.name):
            return port
    asked = f"no output {name!r} of fractions" if name else "no output of fractions"
    raise refused(member.name, f"it has {asked}, which alone have an average; it gives {known}", "name another output")


def adapted(member: Member, taken: Intake, columns: Mapping[str, Columns], own: Port, output: str) -> Member:
    """The member with the inputs of the whole, and with its output `own` under the name `output`, as float32."""
    model = plain(member.model)
    ports = inputs_of(replace(member, model=model))
    graph = model.graph
    graphs.prefix(graph, OWN, lambda name: OWN + name)
    del graph.input[:], graph.output[:]
    first: list[onnx.NodeProto] = []
    for port in taken.ports.values():
        graph.input.append(helper.make_tensor_value_info(port.name, port.element, _dims(port)))
    for name, port in ports.items():
        first += _brought(graph, member, taken.ports[columns[name]], port, OWN + name)
    nodes = [*first, *graph.node]
    nodes.append(helper.make_node("Cast", [OWN + own.name], [output], name=f"{OWN}given", to=TensorProto.FLOAT))
    del graph.node[:]
    graph.node.extend(nodes)
    graph.output.append(helper.make_tensor_value_info(output, TensorProto.FLOAT, _dims(own)))
    return replace(member, model=model)


def _dims(port: Port) -> list[int | str | None]:
    return ["rows", *(port.dims or ())[1:]]


def _brought(graph: onnx.GraphProto, member: Member, first: Port, port: Port, name: str) -> list[onnx.NodeProto]:
    """Nodes from the input of the whole to that of the member."""
    nodes, tensor = [], first.name
    element = _cast_of(member, first, port)
    shape = _reshape_of(member, first, port)
    if element is not None:
        nodes.append(helper.make_node("Cast", [tensor], [f"{name}/cast"], name=f"{name}/cast", to=element))
        tensor = f"{name}/cast"
    if shape is not None:
        graph.initializer.append(numpy_helper.from_array(np.array([0, *shape], np.int64), f"{name}/shape"))
        made = helper.make_node("Reshape", [tensor, f"{name}/shape"], [f"{name}/shaped"], name=f"{name}/shaped")
        nodes.append(made)
        tensor = f"{name}/shaped"
    nodes.append(helper.make_node("Identity", [tensor], [name], name=f"{name}/taken"))
    return nodes


def _cast_of(member: Member, first: Port, port: Port) -> int | None:
    if port.element == first.element:
        return None
    if TensorProto.STRING in (port.element, first.element):
        raise refused(member.name, f"it takes {port.name!r} as {port}, another member the same column as {first}")
    if first.element in FLOATS and port.element not in FLOATS:
        why = f"it takes {port.name!r} as {element_name(port.element)}, and a member before it as {first}"
        raise refused(member.name, why, "name it as the first member: its type is the narrower one")
    return port.element


def _reshape_of(member: Member, first: Port, port: Port) -> tuple[int, ...] | None:
    mine, theirs = (port.dims or ())[1:], (first.dims or ())[1:]
    if len(mine) == len(theirs) and all(a == b or not isinstance(a, int) for a, b in zip(mine, theirs, strict=True)):
        return None
    sizes = [size for size in mine if isinstance(size, int)]
    others = [size for size in theirs if isinstance(size, int)]
    if len(sizes) == len(mine) and (len(others) < len(theirs) or math.prod(sizes) == math.prod(others)):
        return tuple(sizes)
    why = f"it takes {port.name!r} as {port}, and a member before it the same column as {first}"
    raise refused(member.name, why, "export both for rows of the same size")
