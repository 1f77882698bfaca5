"""The first requests to a freshly loaded version, judged by value, or by type, shape and finiteness without samples."""

from __future__ import annotations

from collections.abc import Sequence

from bmase.registry.v1 import registry_pb2
from google.protobuf.message import DecodeError
from tritonclient.grpc import service_pb2 as pb

from services.patcher.agent.tensors import Tensor, TensorError, difference, example, implausible
from services.patcher.agent.triton import Triton, TritonRefusedError

ABSOLUTE = 1e-4
RELATIVE = 1e-3
# The first request of a session allocates and plans; the next ones are as fast as traffic will find them.
ROUNDS = 3


class WarmupError(Exception):
    """The version answers wrong, or not at all; the text says how."""


class Warmup:
    """Sends samples to one version and judges the answers."""

    def __init__(self, triton: Triton, timeout: float) -> None:
        self._triton = triton
        self._timeout = timeout

    async def run(self, model: str, version: int, samples: Sequence[registry_pb2.Sample]) -> None:
        """Raises WarmupError, or TritonGoneError when there is no answer to judge."""
        try:
            config = await self._triton.config(model, version)
            metadata = await self._triton.metadata(model, version)
            for sample in samples or [_generated(metadata)]:
                request = _request(model, version, sample, sequence=config.HasField("sequence_batching"))
                for _ in range(ROUNDS):
                    answer = await self._ask(request, config.model_transaction_policy.decoupled)
                    _judge(_tensors(answer), sample, metadata)
        except TensorError as error:
            raise WarmupError(str(error)) from error
        except TritonRefusedError as error:
            hint = "" if samples else "; give a sample when registering the version, this request was made up"
            raise WarmupError(f"it refused its warm-up request: {error}{hint}") from error

    async def _ask(self, request: pb.ModelInferRequest, decoupled: bool) -> pb.ModelInferResponse:
        ask = self._triton.infer_decoupled if decoupled else self._triton.infer
        return await ask(request, self._timeout)


def read_samples(contents: Sequence[bytes]) -> list[registry_pb2.Sample]:
    """Samples from their files; raises WarmupError."""
    try:
        return [registry_pb2.Sample.FromString(content) for content in contents]
    except DecodeError as error:
        raise WarmupError("its sample is not a serialised bmase.registry.v1.Sample") from error


def _generated(metadata: pb.ModelMetadataResponse) -> registry_pb2.Sample:
    sample = registry_pb2.Sample()
    for known in metadata.inputs:
        tensor = example(known.name, known.datatype, known.shape)
        sample.inputs.add(name=tensor.name, datatype=tensor.datatype, shape=tensor.shape, data=tensor.data)
    return sample


def _request(model: str, version: int, sample: registry_pb2.Sample, *, sequence: bool) -> pb.ModelInferRequest:
    request = pb.ModelInferRequest(model_name=model, model_version=str(version), id="bmase-warmup")
    for tensor in sample.inputs:
        request.inputs.add(name=tensor.name, datatype=tensor.datatype, shape=tensor.shape)
        request.raw_input_contents.append(tensor.data)
    if sequence:
        request.parameters["sequence_id"].int64_param = 2**62
        request.parameters["sequence_start"].bool_param = True
        request.parameters["sequence_end"].bool_param = True
    return request


def _tensors(answer: pb.ModelInferResponse) -> dict[str, Tensor]:
    if len(answer.raw_output_contents) != len(answer.outputs):
        raise TensorError("the answer carries no raw tensors")
    pairs = zip(answer.outputs, answer.raw_output_contents, strict=True)
    return {out.name: Tensor(out.name, out.datatype, tuple(out.shape), data) for out, data in pairs}


def _judge(got: dict[str, Tensor], sample: registry_pb2.Sample, metadata: pb.ModelMetadataResponse) -> None:
    if not sample.outputs:
        wrong = [implausible(got[o.name], o.datatype, o.shape) for o in metadata.outputs if o.name in got]
    else:
        wrong = [_compared(got, right, sample) for right in sample.outputs]
    if found := [words for words in wrong if words]:
        raise WarmupError("it gives a wrong answer: " + "; ".join(found[:3]))


def _compared(got: dict[str, Tensor], right: registry_pb2.TensorValue, sample: registry_pb2.Sample) -> str:
    if right.name not in got:
        return f"there is no output {right.name}"
    wanted = Tensor(right.name, right.datatype, tuple(right.shape), right.data)
    absolute, relative = sample.absolute_tolerance or ABSOLUTE, sample.relative_tolerance or RELATIVE
    return difference(got[right.name], wanted, absolute, relative)
