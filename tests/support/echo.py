"""A small gRPC service of all four kinds, with a way to misbehave, for tests of servers and clients.

Its messages are `google.protobuf.StringValue`: the value of a request says what to do.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
from bmase.reasons import Reason
from google.protobuf.wrappers_pb2 import StringValue

from services.kit.errors import DomainError, InvalidArgument, Violation
from services.kit.server import Registration

NAME = "test.v1.Echo"
SECRET = "the-password-of-the-database"


class Echo:
    """Counts what it saw, so that tests can tell what reached it."""

    def __init__(self, name: str = "echo") -> None:
        self.name = name
        self.headers: dict[str, str] = {}
        self.calls = 0
        self.finished_uploads: list[int] = []
        self.open_streams = 0

    async def unary_unary(self, request: StringValue, context: Any) -> StringValue:
        self.calls += 1
        self.headers = dict(context.invocation_metadata())
        return StringValue(value=await self._do(request.value))

    async def unary_stream(self, request: StringValue, context: Any) -> AsyncIterator[StringValue]:
        self.open_streams += 1
        try:
            yield StringValue(value="first")
            yield StringValue(value=await self._do(request.value))
        finally:
            self.open_streams -= 1

    async def watch(self, request: StringValue, context: Any) -> AsyncIterator[StringValue]:
        self.open_streams += 1
        try:
            while True:
                yield StringValue(value=self.name)
                await asyncio.sleep(0.02)
        finally:
            self.open_streams -= 1

    async def stream_unary(self, requests: AsyncIterator[StringValue], context: Any) -> StringValue:
        count = 0
        async for request in requests:
            await self._do(request.value)
            count += 1
        self.finished_uploads.append(count)
        return StringValue(value=str(count))

    async def stream_stream(self, requests: AsyncIterator[StringValue], context: Any) -> AsyncIterator[StringValue]:
        async for request in requests:
            yield StringValue(value=await self._do(request.value))

    async def _do(self, what: str) -> str:
        verb, _, argument = what.partition(":")
        match verb:
            case "sleep":
                await asyncio.sleep(float(argument))
            case "crash":
                raise RuntimeError(f"cannot reach mysql://root:{SECRET}@db")
            case "refuse":
                raise DomainError(Reason.MODEL_NOT_FOUND, "no model 'm'", hint="push it first", metadata={"model": "m"})
            case "invalid":
                raise InvalidArgument([Violation("version.files[2].digest", "must be a digest")])
            case "full":
                raise OSError(28, "No space left on device")
        return f"{self.name}:{what}"


def registration(echo: Echo) -> Registration:
    """The service as a server takes it."""
    return Registration(_add, echo, NAME)


def _add(echo: Echo, server: grpc.aio.Server) -> None:
    pair = (StringValue.FromString, StringValue.SerializeToString)
    handlers = {
        "UnaryUnary": grpc.unary_unary_rpc_method_handler(echo.unary_unary, *pair),
        "UnaryStream": grpc.unary_stream_rpc_method_handler(echo.unary_stream, *pair),
        "StreamUnary": grpc.stream_unary_rpc_method_handler(echo.stream_unary, *pair),
        "StreamStream": grpc.stream_stream_rpc_method_handler(echo.stream_stream, *pair),
        "WatchEcho": grpc.unary_stream_rpc_method_handler(echo.watch, *pair),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(NAME, handlers),))


class EchoStub:
    """As a generated stub would be."""

    def __init__(self, channel: Any) -> None:
        pair = {"request_serializer": StringValue.SerializeToString, "response_deserializer": StringValue.FromString}
        self.unary_unary = channel.unary_unary(f"/{NAME}/UnaryUnary", **pair)
        self.unary_stream = channel.unary_stream(f"/{NAME}/UnaryStream", **pair)
        self.stream_unary = channel.stream_unary(f"/{NAME}/StreamUnary", **pair)
        self.stream_stream = channel.stream_stream(f"/{NAME}/StreamStream", **pair)
        self.watch = channel.unary_stream(f"/{NAME}/WatchEcho", **pair)

    async def say(self, what: str, **options: Any) -> str:
        return (await self.unary_unary(StringValue(value=what), **options)).value

    async def by_kind(self, kind: str, what: str) -> list[str]:
        """The same request through any kind of call: the values that came back."""
        request = StringValue(value=what)
        match kind:
            case "unary_unary":
                return [(await self.unary_unary(request)).value]
            case "unary_stream":
                return [response.value async for response in self.unary_stream(request)]
            case "stream_unary":
                return [(await self.stream_unary(iter([request]))).value]
            case _:
                return [response.value async for response in self.stream_stream(iter([request]))]


KINDS = ("unary_unary", "unary_stream", "stream_unary", "stream_stream")
