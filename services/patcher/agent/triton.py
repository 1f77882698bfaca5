"""The one Triton that belongs to this agent, over gRPC, every call under a deadline."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Iterator
from pathlib import Path

import grpc
from google.protobuf.message import Message
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc import service_pb2_grpc

PROBE_SECONDS = 2.0
UNLOAD_SECONDS = 30.0
MAX_REASON = 400

# Triton is on this machine: a short wait between attempts makes a restart noticed at once.
_OPTIONS = [
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1000),
    ("grpc.max_reconnect_backoff_ms", 500),
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.enable_retries", 0),
]
_GONE = frozenset({grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED})


class TritonGoneError(Exception):
    """Triton did not answer: it is ending, starting, or (`hangs`) has not answered in time."""

    def __init__(self, hangs: bool, words: str = "") -> None:
        super().__init__(words or ("Triton has not answered in time" if hangs else "Triton does not answer"))
        self.hangs = hangs


class TritonRefusedError(Exception):
    """Triton answered with an error; the text is its reason, without local paths."""


class Triton:
    """A connection that lives as long as the agent; it finds the server again by itself."""

    def __init__(self, address: str, repository: Path) -> None:
        self._repository = repository
        self._channel = grpc.aio.insecure_channel(address, _OPTIONS)
        self._waiting: set[grpc.aio.Call] = set()
        self._stub = service_pb2_grpc.GRPCInferenceServiceStub(self._channel)

    async def close(self) -> None:
        await self._channel.close()

    async def left(self) -> None:
        """Returns once a connection that stands has ended: that life of the server is over, even if it is back."""
        while (state := self._channel.get_state()) is not grpc.ChannelConnectivity.READY:
            await self._channel.wait_for_state_change(state)
        await self._channel.wait_for_state_change(state)

    def give_up(self) -> None:
        """Ends the calls that wait for an answer with TritonGoneError: the server hangs, their deadlines are long."""
        waiting = list(self._waiting)
        self._waiting.clear()
        for call in waiting:
            call.cancel()

    async def index(self) -> dict[str, frozenset[int]]:
        """Model -> versions that are ready. Answers only when the server is live."""
        answer = await self._call("RepositoryIndex", pb.RepositoryIndexRequest(ready=True), PROBE_SECONDS)
        found: dict[str, set[int]] = {}
        for model in answer.models:
            if model.state == "READY" and model.version.isdecimal():
                found.setdefault(model.name, set()).add(int(model.version))
        return {name: frozenset(versions) for name, versions in found.items()}

    async def is_live(self) -> bool:
        answer = await self._call("ServerLive", pb.ServerLiveRequest(), PROBE_SECONDS)
        return bool(answer.live)

    async def load(self, model: str, timeout: float) -> None:
        """Loads the model; returns when it is ready."""
        await self._call("RepositoryModelLoad", pb.RepositoryModelLoadRequest(model_name=model), timeout)

    async def unload(self, model: str) -> None:
        """Asks to unload; Triton lets requests under way finish first."""
        await self._call("RepositoryModelUnload", pb.RepositoryModelUnloadRequest(model_name=model), UNLOAD_SECONDS)

    async def states(self, model: str) -> dict[str, str]:
        """Version -> state of one model, as the repository's index has it."""
        answer = await self._call("RepositoryIndex", pb.RepositoryIndexRequest(), PROBE_SECONDS)
        return {entry.version: entry.state for entry in answer.models if entry.name == model}

    async def metadata(self, model: str, version: int) -> pb.ModelMetadataResponse:
        request = pb.ModelMetadataRequest(name=model, version=str(version))
        return await self._call("ModelMetadata", request, PROBE_SECONDS)

    async def config(self, model: str, version: int) -> pb.model__config__pb2.ModelConfig:
        request = pb.ModelConfigRequest(name=model, version=str(version))
        return (await self._call("ModelConfig", request, PROBE_SECONDS)).config

    async def answered(self, model: str) -> int:
        """How many requests the model has answered or refused since it was loaded."""
        answer = await self._call("ModelStatistics", pb.ModelStatisticsRequest(name=model), PROBE_SECONDS)
        stats = [entry.inference_stats for entry in answer.model_stats]
        return sum(s.success.count + s.fail.count for s in stats)

    async def infer(self, request: pb.ModelInferRequest, timeout: float) -> pb.ModelInferResponse:
        return await self._call("ModelInfer", request, timeout)

    async def infer_decoupled(self, request: pb.ModelInferRequest, timeout: float) -> pb.ModelInferResponse:
        """The first answer of a model that may give several; the rest is not waited for."""
        call = self._stub.ModelStreamInfer(iter([request]), timeout=timeout)
        with self._awaited(call):
            try:
                async for answer in call:
                    if answer.error_message:
                        raise TritonRefusedError(self._words(answer.error_message))
                    return answer.infer_response
            finally:
                call.cancel()
        raise TritonRefusedError("the model closed its stream without an answer")

    async def _call(self, method: str, request: Message, timeout: float):  # type: ignore[no-untyped-def]
        call = getattr(self._stub, method)(request, timeout=timeout)
        with self._awaited(call):
            return await call

    @contextlib.contextmanager
    def _awaited(self, call: grpc.aio.Call) -> Iterator[None]:
        """Meanwhile the call can be given up; its errors are ours."""
        self._waiting.add(call)
        try:
            yield
        except grpc.aio.AioRpcError as error:
            raise self._translated(error) from error
        except asyncio.CancelledError:
            if call in self._waiting:
                raise
            raise TritonGoneError(hangs=True) from None
        finally:
            self._waiting.discard(call)

    def _translated(self, error: grpc.aio.AioRpcError) -> Exception:
        if error.code() in _GONE and not _is_models_fault(error.details() or ""):
            return TritonGoneError(hangs=error.code() is not grpc.StatusCode.UNAVAILABLE)
        return TritonRefusedError(self._words(error.details() or error.code().name))

    def _words(self, text: str) -> str:
        return shortened(text, self._repository)


def _is_models_fault(details: str) -> bool:
    """Triton answers UNAVAILABLE, too, for a model that is not there."""
    return "Request for unknown model" in details or "is not ready" in details


def shortened(text: str, repository: Path) -> str:
    """An error's text for people elsewhere: on one line, without the paths of this machine, of bounded length."""
    text = text.replace(f"{repository}/", "").replace(str(repository), "the repository")
    text = re.sub(r"(?<![\w:])(?:/[\w.@+-]+)+/([\w.@+-]+)", r"\1", text)
    text = " ".join(text.split())
    return text if len(text) <= MAX_REASON else f"{text[: MAX_REASON - 1]}…"


def pending_of(metrics: str, model: str) -> int:
    """Requests that wait for the model, from the text of Triton's metrics."""
    pattern = re.compile(rf'^nv_inference_pending_request_count{{[^}}]*model="{re.escape(model)}"[^}}]*}} (\d+)', re.M)
    return sum(int(count) for count in pattern.findall(metrics))
