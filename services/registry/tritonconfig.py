"""The serving configuration of a version: Triton's config.pbtxt, written from what is known or checked when it is
given.

A serving node holds one version of a model at a time, so each version brings the configuration of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from bmase.reasons import Reason
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2 as triton

from services.kit.errors import DomainError
from services.registry.signature import Signature, Tensor, excess

CONFIG_PATH = "config.pbtxt"
MAX_CONFIG_BYTES = 1024 * 1024
MAX_INT32 = 2**31 - 1  # the contract's Serving has no more, Triton's configuration does
MODEL_FILE = "model.onnx"
ONNX_BACKEND = "onnxruntime"
# What a model that can be batched gets when nobody says more: memory for 32 items, and no waiting for company.
DEFAULT_MAX_BATCH = 32


@dataclass(frozen=True, slots=True)
class Batching:
    """How requests are put together; the delay is in microseconds."""

    preferred_batch_sizes: tuple[int, ...] = ()
    max_queue_delay_us: int = 0


@dataclass(frozen=True, slots=True)
class Serving:
    """How a version is served; `max_batch_size` None: to be found out from the model."""

    max_batch_size: int | None = None
    batching: Batching | None = field(default_factory=Batching)
    instances: int = 1
    parameters: Mapping[str, str] = field(default_factory=dict)
    backend: str = ""


def composed(serving: Serving, signature: Signature, scalars: frozenset[str]) -> triton.ModelConfig:
    """The configuration for a serving and a signature that are settled.

    `scalars` are tensors whose items are single numbers in the graph. Triton has no empty `dims`: clients send one
    element, and the dimension is taken away again.
    """
    config = triton.ModelConfig(backend=serving.backend, max_batch_size=serving.max_batch_size or 0)
    config.input.extend(_input(tensor) for tensor in signature.inputs)
    config.output.extend(_output(tensor) for tensor in signature.outputs)
    config.instance_group.add(count=serving.instances, kind=triton.ModelInstanceGroup.KIND_AUTO)
    if serving.batching is not None and config.max_batch_size > 0:
        config.dynamic_batching.preferred_batch_size.extend(serving.batching.preferred_batch_sizes)
        config.dynamic_batching.max_queue_delay_microseconds = serving.batching.max_queue_delay_us
    for key in sorted(serving.parameters):
        config.parameters[key].string_value = serving.parameters[key]
    for declared in (*config.input, *config.output):
        if declared.name in scalars:
            declared.reshape.SetInParent()
    return config


def for_version(config: triton.ModelConfig, model: str, number: int) -> bytes:
    """The configuration under the name of the model, serving exactly this version; equal input gives equal bytes."""
    bound = triton.ModelConfig()
    bound.CopyFrom(config)
    bound.name = model
    bound.ClearField("version_policy")
    bound.version_policy.specific.versions.append(number)
    return str(text_format.MessageToString(bound)).encode()


def parsed(raw: bytes, model: str) -> triton.ModelConfig:
    """A given config.pbtxt; raises INVALID_MODEL_FILE saying where it is wrong."""
    try:
        config = text_format.Parse(raw.decode("utf-8"), triton.ModelConfig())
    except UnicodeDecodeError:
        raise refused("it is not UTF-8 text") from None
    except text_format.ParseError as error:
        raise refused(f"it is not a Triton model configuration: line {error}") from None
    if config.name not in ("", model):
        raise refused(f"its name is {config.name!r} but the model is {model!r}; leave the name out")
    if config.max_batch_size < 0:
        raise refused("max_batch_size is negative")
    if not (config.backend or config.platform):
        raise refused("it names neither a backend nor a platform")
    for name, value in (
        ("max_queue_delay_microseconds", config.dynamic_batching.max_queue_delay_microseconds),
        ("the sum of the instance groups' counts", _instances(config)),
    ):
        if value > MAX_INT32:
            raise refused(f"{name} is {value}, above {MAX_INT32}")
    return config


def _instances(config: triton.ModelConfig) -> int:
    return sum(max(1, group.count) for group in config.instance_group) or 1


def refused(why: str) -> DomainError:
    """A config.pbtxt that cannot be served."""
    return DomainError(Reason.INVALID_MODEL_FILE, f"{CONFIG_PATH}: {why}", metadata={"path": CONFIG_PATH})


def signature_of(config: triton.ModelConfig) -> Signature | None:
    """The tensors that a given configuration declares, or None when it leaves them to the backend; raises
    INVALID_MODEL_FILE for more than a signature may have.
    """
    if not config.input and not config.output:
        return None
    signature = Signature(
        tuple(_tensor(tensor, optional=tensor.optional) for tensor in config.input),
        tuple(_tensor(tensor) for tensor in config.output),
    )
    if too_much := excess(signature):
        raise refused(too_much)
    return signature


def serving_of(config: triton.ModelConfig) -> Serving:
    """What a given configuration says about serving, in the registry's words."""
    batching = None
    if config.HasField("dynamic_batching"):
        dynamic = config.dynamic_batching
        batching = Batching(tuple(dynamic.preferred_batch_size), dynamic.max_queue_delay_microseconds)
    return Serving(
        max_batch_size=config.max_batch_size,
        batching=batching,
        instances=_instances(config),
        parameters={key: value.string_value for key, value in config.parameters.items()},
        backend=config.backend or config.platform,
    )


def _tensor(declared: triton.ModelInput | triton.ModelOutput, optional: bool = False) -> Tensor:
    datatype = triton.DataType.Name(declared.data_type).removeprefix("TYPE_")
    return Tensor(declared.name, {"STRING": "BYTES"}.get(datatype, datatype), tuple(declared.dims), optional)


def _data_type(tensor: Tensor) -> triton.DataType:
    return triton.DataType.Value("TYPE_" + {"BYTES": "STRING"}.get(tensor.datatype, tensor.datatype))


def _input(tensor: Tensor) -> triton.ModelInput:
    return triton.ModelInput(
        name=tensor.name, data_type=_data_type(tensor), dims=tensor.shape, optional=tensor.optional
    )


def _output(tensor: Tensor) -> triton.ModelOutput:
    return triton.ModelOutput(name=tensor.name, data_type=_data_type(tensor), dims=tensor.shape)
