"""One way around every call, whatever its kind.

A *layer* is an async context manager around a call. `Layers` is the one gRPC interceptor: it runs the layers, outermost
first, around unary and streaming handlers alike, in the task that grpc.aio made for the call. Streams are written by
us rather than yielded, so that a layer is always left when the call ends, also when the client went away in the middle.

It also takes over (de)serialisation: grpc.aio answers a request that cannot be parsed with UNKNOWN and Python's words.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, aclosing
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

import grpc
from bmase.reasons import Reason
from google.protobuf.message import DecodeError

from services.kit.errors import InvalidArgument, Violation

HEALTH = "grpc.health.v1.Health"
REFLECTION = "grpc.reflection.v1alpha.ServerReflection"
# What gateways tell the monitor.
TOLD = "opentelemetry.proto.collector."

# After the last message of a request stream, time for the news that the stream was in truth broken off.
STREAM_END_SECONDS = 0.01

current_call: ContextVar[Call] = ContextVar("bmase_call")


@dataclass(eq=False)
class Call:
    """One call on its way through the layers; `code` and `reason` say how it ended once it did."""

    method: str
    unary: bool
    context: Any
    started: float = field(default_factory=time.monotonic)
    code: grpc.StatusCode = grpc.StatusCode.OK
    reason: Reason | None = None
    principal: str = ""
    peer: str = field(init=False)

    def __post_init__(self) -> None:
        self.peer = str(self.context.peer())  # grpc.aio forgets it when the call is cancelled

    @cached_property
    def metadata(self) -> dict[str, str]:
        """The caller's headers as text; of a repeated one the last."""
        pairs = self.context.invocation_metadata() or ()
        return {key: value for key, value in pairs if isinstance(value, str)}

    @property
    def service(self) -> str:
        """`bmase.registry.v1.RegistryService`."""
        return self.method.rpartition("/")[0].lstrip("/")

    @property
    def name(self) -> str:
        """`GetModel`."""
        return self.method.rpartition("/")[2]

    @property
    def plumbing(self) -> bool:
        """Whether the call is about the server (health, reflection) or what gateways tell all the time: no work."""
        return self.service in (HEALTH, REFLECTION) or self.service.startswith(TOLD)

    @property
    def endless(self) -> bool:
        """Whether the call ends only when somebody ends it."""
        return self.name.startswith("Watch")

    def ended(self) -> None:
        """Takes over the code that the handler set on its context."""
        code = self.context.code()
        if code:
            self.code = _CODES[code] if isinstance(code, int) else code


_CODES: dict[int, grpc.StatusCode] = {code.value[0]: code for code in grpc.StatusCode}


class Layer(Protocol):
    """Something that happens around every call."""

    def around(self, call: Call) -> AbstractAsyncContextManager[None]:
        """Entered before the handler runs and left when the call ends, with the exception if there is one."""
        ...


@dataclass(frozen=True, slots=True)
class Malformed:
    """Stands for a request message that could not be parsed."""

    expected: str

    def refuse(self) -> InvalidArgument:
        return InvalidArgument([Violation("", f"the request is not a valid {self.expected} message")])


class Layers(grpc.aio.ServerInterceptor):  # type: ignore[misc]
    """Runs the layers around every handler of a server."""

    def __init__(self, layers: Sequence[Layer]) -> None:
        self._layers = tuple(layers)

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler | None:
        """The handler of the method with the layers around it, or None when there is no such method."""
        handler, method = await continuation(handler_call_details), handler_call_details.method
        if handler is None:
            return None
        return self._wrapped(handler, method)

    def _wrapped(self, handler: Any, method: str) -> grpc.RpcMethodHandler:
        unary = not handler.request_streaming and not handler.response_streaming
        behaviour = handler.unary_unary or handler.unary_stream or handler.stream_unary or handler.stream_stream

        async def serve(request: Any, context: Any) -> Any:
            call = Call(method, unary, context)
            current_call.set(call)
            async with AsyncExitStack() as stack:
                for layer in self._layers:
                    await stack.enter_async_context(layer.around(call))
                checked = _requests(request) if handler.request_streaming else _request(request)
                result = behaviour(checked, context)
                if handler.response_streaming:
                    return await _write_all(result, context)
                return _serialised(handler.response_serializer, await result)

        make = _MAKERS[handler.request_streaming, handler.response_streaming]
        deserializer = handler.request_deserializer and _lenient(handler.request_deserializer)
        return make(serve, deserializer, handler.response_serializer if handler.response_streaming else None)


_MAKERS: dict[tuple[bool, bool], Callable[..., grpc.RpcMethodHandler]] = {
    (False, False): grpc.unary_unary_rpc_method_handler,
    (False, True): grpc.unary_stream_rpc_method_handler,
    (True, False): grpc.stream_unary_rpc_method_handler,
    (True, True): grpc.stream_stream_rpc_method_handler,
}


def _lenient(deserializer: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
    """Parsing happens before the handler runs, where no layer could answer: a failure is carried in instead."""

    def parse(raw: bytes) -> Any:
        try:
            return deserializer(raw)
        except (DecodeError, ValueError):
            owner = getattr(deserializer, "__self__", None)
            descriptor = getattr(owner, "DESCRIPTOR", None)
            return Malformed(descriptor.full_name if descriptor is not None else "protobuf")

    return parse


def _request(message: Any) -> Any:
    if isinstance(message, Malformed):
        raise message.refuse()
    return message


async def _requests(messages: AsyncIterator[Any]) -> AsyncIterator[Any]:
    async for message in messages:
        yield _request(message)
    # grpc.aio ends the stream in the same way when the client is done and when it was cancelled, cut off or sent a
    # message over the limit; the cancellation of our task follows at once. A half upload must not look like a whole.
    await asyncio.sleep(STREAM_END_SECONDS)


async def _write_all(result: Any, context: Any) -> None:
    if not hasattr(result, "__aiter__"):
        await result  # the handler writes by itself
        return
    async with aclosing(result) as responses:
        async for response in responses:
            await context.write(response)


def _serialised(serializer: Callable[[Any], bytes] | None, response: Any) -> Any:
    return response if serializer is None else serializer(response)
