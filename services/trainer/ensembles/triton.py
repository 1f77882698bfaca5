"""Members of any backend side by side: Triton runs them in one ensemble, and a tiny ONNX model averages their answers.

Triton's ensemble scheduling knows no arithmetic, so the average is a step of its own, a model beside the ensemble:

    <name>/config.pbtxt                      inputs to all members, their outputs to the average
    <name>/<version>/members.json            what it is made of; Triton wants a folder for the version
    <name>.average/config.pbtxt              served by the backend `onnxruntime`
    <name>.average/<version>/model.onnx

All members have to be loaded in the same Triton, each under a name of its own, before the ensemble is. Pure.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from bmase.reasons import Reason
from google.protobuf import text_format
from onnx import TensorProto
from tritonclient.grpc import model_config_pb2 as triton

from services.kit.errors import DomainError, InvalidArgument, Violation
from services.trainer.ensembles.interface import prefix_of
from services.trainer.ensembles.members import check_weights, refused
from services.trainer.ensembles.pooling import Pool, Source, step

BACKEND = "onnxruntime"
SUFFIX = ".average"
MAX_NAME = 63  # of a model
ELEMENTS = {
    triton.TYPE_FP16: TensorProto.FLOAT16,
    triton.TYPE_BF16: TensorProto.BFLOAT16,
    triton.TYPE_FP32: TensorProto.FLOAT,
    triton.TYPE_FP64: TensorProto.DOUBLE,
}
ALONE = "only members that answer each request by itself, once, can be averaged"


@dataclass(frozen=True, eq=False)
class Part:
    """A member as Triton has it: `model` and `version` name it there, `config` is its whole configuration.

    `logits`: its outputs become probabilities before the average.
    """

    model: str
    version: int
    config: triton.ModelConfig
    weight: float
    logits: bool = False


def scheduled(name: str, version: int, parts: Sequence[Part], outputs: Sequence[str] = ()) -> dict[str, bytes]:
    """Path in Triton's model repository -> content; equal arguments give equal bytes.

    `outputs` are those to average, by default all of the first member. Parts of weight 0 are left out.
    Raises DomainError(INVALID_MODEL_FILE) or InvalidArgument, naming the member.
    """
    check_weights([(f"{part.model}/{part.version}", part.weight) for part in parts])
    if len(name + SUFFIX) > MAX_NAME:
        why = f"its average would be called {name + SUFFIX!r}, and names have at most {MAX_NAME} characters"
        raise InvalidArgument([Violation("name", why)])
    weighed = [part for part in parts if part.weight > 0]
    batch = _batch_size(weighed)
    inputs = _inputs(weighed)
    named = [_output(weighed, output) for output in outputs or [o.name for o in weighed[0].config.output]]
    if both := {i.name for i in inputs} & {o.name for o in named}:
        raise refused(weighed[0].model, f"{min(both)!r} is an input and an output", "rename one of them")
    pools = [_pool(weighed, output, batch > 0) for output in named]
    average = _average(name + SUFFIX, version, batch, pools, named)
    ensemble = _ensemble(name=name, version=version, batch=batch, parts=weighed, inputs=inputs, outputs=named)
    return {
        f"{name}/config.pbtxt": _text(ensemble),
        f"{name}/{version}/members.json": _members(weighed),
        f"{name}{SUFFIX}/config.pbtxt": _text(average),
        f"{name}{SUFFIX}/{version}/model.onnx": step(pools).SerializeToString(deterministic=True),
    }


# --- what the members have in common --------------------------------------------------------------------------------


def _batch_size(parts: Sequence[Part]) -> int:
    """The largest batch that all take; 0 when none of them knows batches."""
    for part in parts:
        if part.config.HasField("sequence_batching"):
            raise refused(part.model, "it keeps state between requests", ALONE)
        if part.config.model_transaction_policy.decoupled:
            raise refused(part.model, "it may answer a request several times or never", ALONE)
    sizes = {part.model: part.config.max_batch_size for part in parts}
    if 0 in sizes.values() and any(sizes.values()):
        spoken = ", ".join(f"{model} {size}" for model, size in sizes.items())
        raise DomainError(
            Reason.INVALID_MODEL_FILE,
            f"some members take batches and some do not: max_batch_size is {spoken}",
            hint="give all of them a max_batch_size above 0, or all 0 and the batch dimension in their shapes",
        )
    return min(sizes.values())


def _inputs(parts: Sequence[Part]) -> list[triton.ModelInput]:
    first = parts[0]
    known = {tensor.name: tensor for tensor in first.config.input}
    for part in parts:
        own = {tensor.name: tensor for tensor in part.config.input}
        if own.keys() != known.keys():
            raise refused(part.model, f"it takes {_list(own)}, member {first.model!r} takes {_list(known)}", "")
        for name, tensor in own.items():
            if tensor.optional:
                raise refused(part.model, f"its input {name!r} is optional, which Triton's ensembles do not know", "")
            if (tensor.data_type, list(tensor.dims)) != (known[name].data_type, list(known[name].dims)):
                why = f"it takes {name!r} as {_form(tensor)}, member {first.model!r} as {_form(known[name])}"
                raise refused(part.model, why, "export both with the same inputs")
    return [triton.ModelInput(name=t.name, data_type=t.data_type, dims=t.dims) for t in known.values()]


def _output(parts: Sequence[Part], name: str) -> triton.ModelOutput:
    """What all members say about an output together."""
    joined: triton.ModelOutput | None = None
    for part in parts:
        own = next((tensor for tensor in part.config.output if tensor.name == name), None)
        if own is None:
            gives = _list([tensor.name for tensor in part.config.output])
            raise refused(part.model, f"it has no output {name!r}; it gives {gives}", "name the outputs to average")
        if own.data_type not in ELEMENTS:
            why = f"its output {name!r} is {_form(own)}, which has no average"
            raise refused(part.model, why, "name the outputs to average, for instance the probabilities only")
        dims = list(own.dims) if joined is None else _joined(joined, own)
        if dims is None or (joined is not None and joined.data_type != own.data_type):
            why = f"it gives {name!r} as {_form(own)}, members before it as {_form(joined)}"
            raise refused(part.model, why, "export them with the same outputs")
        joined = triton.ModelOutput(name=name, data_type=own.data_type, dims=dims)
    assert joined is not None
    return joined


def _joined(one: triton.ModelOutput, other: triton.ModelOutput) -> list[int] | None:
    """The narrower of two shapes, where -1 is open; None when they contradict each other."""
    if len(one.dims) != len(other.dims) or any(-1 != a != b != -1 for a, b in zip(one.dims, other.dims, strict=True)):
        return None
    return [max(a, b) for a, b in zip(one.dims, other.dims, strict=True)]


def _form(tensor: triton.ModelInput | triton.ModelOutput | None) -> str:
    assert tensor is not None
    return f"{triton.DataType.Name(tensor.data_type)} {list(tensor.dims)}"


def _list(names: Sequence[str] | dict[str, triton.ModelInput]) -> str:
    return ", ".join(sorted(names)) or "nothing"


# --- what is written ------------------------------------------------------------------------------------------------


def _pool(parts: Sequence[Part], output: triton.ModelOutput, batched: bool) -> Pool:
    dims = tuple(None if size == -1 else size for size in output.dims)
    sources = tuple(Source(prefix_of(n) + output.name, part.weight, part.logits) for n, part in enumerate(parts))
    return Pool(output.name, ELEMENTS[output.data_type], ("batch", *dims) if batched else dims, sources)


def _average(
    name: str, version: int, batch: int, pools: Sequence[Pool], outputs: Sequence[triton.ModelOutput]
) -> triton.ModelConfig:
    config = triton.ModelConfig(name=name, backend=BACKEND, max_batch_size=batch, output=outputs)
    config.version_policy.specific.versions.append(version)
    for pool, output in zip(pools, outputs, strict=True):
        for source in pool.sources:
            config.input.add(name=source.tensor, data_type=output.data_type, dims=output.dims)
    if batch:
        config.dynamic_batching.SetInParent()
    return config


def _ensemble(
    *,
    name: str,
    version: int,
    batch: int,
    parts: Sequence[Part],
    inputs: Sequence[triton.ModelInput],
    outputs: Sequence[triton.ModelOutput],
) -> triton.ModelConfig:
    config = triton.ModelConfig(name=name, platform="ensemble", max_batch_size=batch, input=inputs, output=outputs)
    config.version_policy.specific.versions.append(version)
    average = triton.ModelEnsembling.Step(model_name=name + SUFFIX, model_version=version)
    for place, part in enumerate(parts):
        one = config.ensemble_scheduling.step.add(model_name=part.model, model_version=part.version)
        one.input_map.update({tensor.name: tensor.name for tensor in inputs})
        one.output_map.update({tensor.name: prefix_of(place) + tensor.name for tensor in outputs})
        average.input_map.update({tensor: tensor for tensor in one.output_map.values()})
    average.output_map.update({tensor.name: tensor.name for tensor in outputs})
    config.ensemble_scheduling.step.append(average)
    return config


def _members(parts: Sequence[Part]) -> bytes:
    listed = [{"model": p.model, "version": p.version, "weight": p.weight, "logits": p.logits} for p in parts]
    return json.dumps({"members": listed}, indent=2, sort_keys=True).encode() + b"\n"


def _text(config: triton.ModelConfig) -> bytes:
    """Maps are written by key: the order in memory is no content."""
    return str(text_format.MessageToString(config)).encode()
