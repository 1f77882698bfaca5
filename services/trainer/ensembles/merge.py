"""One ONNX model out of several: all members run on the same inputs, and outputs are their weighted average. Pure.

Members are brought to one opset, their names kept apart by a prefix, and each takes the shared inputs through an
Identity, which runtimes remove. Whatever cannot be merged is refused by member and name; Triton's ensemble scheduling
(`triton`) serves those members side by side instead.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace

import onnx
from bmase.reasons import Reason
from onnx import checker, helper, shape_inference

from services.kit.errors import DomainError
from services.trainer.ensembles import graphs
from services.trainer.ensembles.graphs import Port
from services.trainer.ensembles.interface import (
    all_outputs,
    dimension_names,
    pools_of,
    ports_of,
    prefix_of,
    shared_inputs,
)
from services.trainer.ensembles.members import SIDE_BY_SIDE, Member, check_weights, one_line, refused
from services.trainer.ensembles.opsets import at_one_opset, opsets, plain
from services.trainer.ensembles.pooling import Pool, nodes

# A protobuf message above this is read by nobody.
MAX_BYTES = 2**31 - 1
MIN_IR = 4  # before, initialisers had to be inputs
STANDARD = frozenset({"", "ai.onnx", "ai.onnx.ml"})
METADATA_KEY = "bmase.ensemble"


def merge(members: Sequence[Member], outputs: Sequence[str] = ()) -> onnx.ModelProto:
    """The merged model, checked; it holds all weights itself and leaves the members as they are.

    `outputs` are those to average, by default all, which then have to be the same for all members. Members of weight
    0 are left out; the weights' sum is 1. Members' external data have to be loaded (`onnxfiles.read`).
    Raises DomainError(INVALID_MODEL_FILE) or InvalidArgument, naming the member.
    """
    check_weights([(member.name, member.weight) for member in members])
    weighed = [member for member in members if member.weight > 0]
    for member in weighed:
        if lost := next(graphs.external(member.model.graph), None):
            raise refused(member.name, f"the data of {lost.name!r} are in another file", "read it with its files")
    check_size(sum(member.model.ByteSize() for member in weighed))
    one = at_one_opset([replace(member, model=plain(member.model)) for member in weighed])
    shared = shared_inputs(one)
    pools = pools_of(one, list(outputs) or all_outputs(one))
    return _checked(_assembled(one, shared, pools))


def check_size(size: int) -> None:
    """Raises DomainError when so many bytes do not fit into one file."""
    if size > MAX_BYTES:
        raise DomainError(
            Reason.INVALID_MODEL_FILE,
            f"the members have {size / 2**30:.2f} GiB together, and one ONNX file holds at most 2 GiB",
            hint=SIDE_BY_SIDE,
        )


def _assembled(members: list[Member], shared: dict[str, Port], pools: list[Pool]) -> onnx.ModelProto:
    graph = onnx.GraphProto(name="ensemble")
    graph.input.extend(graphs.inputs(members[0].model))
    for place, member in enumerate(members):
        _add(graph, member, place, shared)
    for place, pool in enumerate(pools):
        made, weights = nodes(pool, f"average{place}/")
        graph.node.extend(made)
        graph.initializer.extend(weights)
        graph.output.append(helper.make_tensor_value_info(pool.output, pool.element, list(pool.dims)))
    domains = {domain: version for member in members for domain, version in opsets(member.model).items()}
    imports = [helper.make_opsetid(domain, version) for domain, version in sorted(domains.items())]
    ir = max(MIN_IR, helper.find_min_ir_version_for(imports, True), *(m.model.ir_version for m in members))
    model = helper.make_model(graph, opset_imports=imports, ir_version=ir, producer_name="bmase")
    weights_by_name = {member.name: member.weight for member in members}
    helper.set_model_props(model, {METADATA_KEY: json.dumps({"weights": weights_by_name}, sort_keys=True)})
    return model


def _add(graph: onnx.GraphProto, member: Member, place: int, shared: dict[str, Port]) -> None:
    own, text = member.model.graph, prefix_of(place)
    names = dimension_names(shared, ports_of(member, graphs.inputs(member.model), "input")) or {}
    graphs.prefix(own, text, _renaming(names, text))
    for name in shared:
        graph.node.append(helper.make_node("Identity", [name], [text + name], name=f"{text}takes/{name}"))
    graph.node.extend(own.node)
    graph.initializer.extend(own.initializer)
    graph.sparse_initializer.extend(own.sparse_initializer)


def _renaming(names: dict[str, str], text: str) -> Callable[[str], str]:
    return lambda dimension: names.get(dimension, text + dimension)


def _checked(model: onnx.ModelProto) -> onnx.ModelProto:
    check_size(model.ByteSize())
    standard = {each.domain for each in model.opset_import} <= STANDARD
    try:
        checker.check_model(model, full_check=standard)  # shapes of other operators are unknown to the checker
    except (checker.ValidationError, shape_inference.InferenceError) as error:
        raise DomainError(
            Reason.INVALID_MODEL_FILE, f"the members do not go together: {one_line(error)}", hint=SIDE_BY_SIDE
        ) from error
    return model
