"""What members have to have in common to be one model: the same inputs, and outputs that can be averaged."""

from __future__ import annotations

from collections.abc import Iterable

import onnx
from onnx import shape_inference

from services.trainer.ensembles import graphs
from services.trainer.ensembles.graphs import Port
from services.trainer.ensembles.members import Member, refused
from services.trainer.ensembles.pooling import FLOATS, Dims, Pool, Source


def prefix_of(place: int) -> str:
    """What the names of the member at this place begin with."""
    return f"member{place}/"


def ports_of(member: Member, values: Iterable[onnx.ValueInfoProto], what: str) -> dict[str, Port]:
    """By name; raises DomainError for what is no tensor."""
    ports = {}
    for value in values:
        found = graphs.port(value)
        if found is None:
            raise refused(member.name, f"its {what} {value.name!r} is no tensor", "export the model without it")
        ports[found.name] = found
    return ports


def shared_inputs(members: list[Member]) -> dict[str, Port]:
    """The inputs of the first member, which are those of all; raises for the first that differs."""
    first = members[0]
    shared = ports_of(first, graphs.inputs(first.model), "input")
    for member in members[1:]:
        own = ports_of(member, graphs.inputs(member.model), "input")
        if own.keys() != shared.keys():
            raise refused(member.name, f"it takes {_list(own)}, member {first.name!r} takes {_list(shared)}")
        for name, port in own.items():
            if port.form != shared[name].form:
                why = f"it takes {name!r} as {port}, member {first.name!r} as {shared[name]}"
                raise refused(member.name, why)
        if dimension_names(shared, own) is None:
            raise refused(member.name, f"it needs other dimensions to be equal than member {first.name!r} does")
    return shared


def dimension_names(shared: dict[str, Port], own: dict[str, Port]) -> dict[str, str] | None:
    """The shared name for each open dimension of a member's inputs; None when equal ones have unlike names there."""
    pairs = {
        (mine, theirs)
        for name, port in own.items()
        for mine, theirs in zip(port.dims or (), shared[name].dims or (), strict=True)
        if isinstance(mine, str) and isinstance(theirs, str)
    }
    mapping = dict(pairs)
    return mapping if len(mapping) == len(pairs) == len(set(mapping.values())) else None


def _list(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "nothing"


def all_outputs(members: list[Member]) -> list[str]:
    """The outputs of the first member, if they are those of all."""
    first = members[0]
    names = [value.name for value in first.model.graph.output]
    for member in members[1:]:
        own = [value.name for value in member.model.graph.output]
        if set(own) != set(names):
            why = f"it gives {_list(own)}, member {first.name!r} gives {_list(names)}"
            raise refused(member.name, why, "name the outputs to average; they have to be called the same")
    return names


def pools_of(members: list[Member], outputs: list[str]) -> list[Pool]:
    """An average for each output; its sources are the members' tensors under their prefixes."""
    given = [(member, ports_of(member, _outputs(member, outputs), "output")) for member in members]
    return [_pool(output, [(member, ports[output]) for member, ports in given]) for output in outputs]


def _outputs(member: Member, wanted: list[str]) -> list[onnx.ValueInfoProto]:
    """In the order wanted, with the shapes that follow from the graph where the file leaves them out."""
    values = {value.name: value for value in member.model.graph.output}
    if missing := [name for name in wanted if name not in values]:
        raise refused(member.name, f"it has no output {missing[0]!r}; it gives {_list(values)}", "name others")
    if any(not values[name].type.tensor_type.HasField("shape") for name in wanted):
        values = {value.name: value for value in shape_inference.infer_shapes(member.model).graph.output}
    return [values[name] for name in wanted]


def _pool(output: str, given: list[tuple[Member, Port]]) -> Pool:
    first, port = given[0]
    for member, own in given:
        if own.element not in FLOATS:
            why = f"its output {output!r} is {own}, which has no average"
            raise refused(member.name, why, "name the outputs to average, for instance the probabilities only")
        if own.element != port.element:
            raise refused(member.name, f"it gives {output!r} as {own}, member {first.name!r} as {port}")
        if own.dims is None:
            raise refused(member.name, f"the shape of its output {output!r} is unknown", "export it with shapes")
    dims = port.dims or ()
    for member, own in given[1:]:
        joined = _joined(dims, own.dims or ())
        if joined is None:
            raise refused(member.name, f"it gives {output!r} as {own}, member {first.name!r} as {port}")
        dims = joined
    sources = tuple(Source(prefix_of(place) + output, m.weight, m.logits) for place, (m, _) in enumerate(given))
    return Pool(output, port.element, dims, sources)


def _joined(one: Dims, other: Dims) -> Dims | None:
    """What both shapes say together; None when they contradict each other."""
    if len(one) != len(other):
        return None
    if any(isinstance(a, int) and isinstance(b, int) and a != b for a, b in zip(one, other, strict=True)):
        return None
    return tuple(b if isinstance(b, int) else a for a, b in zip(one, other, strict=True))
