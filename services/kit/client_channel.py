"""A gRPC channel whose calls go to wherever its endpoint points at the moment of the call.

grpc.aio has no resolvers to plug in, but its interceptors may answer a call with a call on another channel. So the
stubs hold a front channel that never connects, and its one interceptor a kind makes the real call.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import grpc
from opentelemetry import propagate

from services.kit.client_endpoint import Endpoint
from services.kit.config import ServiceSettings

# Never dialled: a channel connects with its first call, and no call is made on it.
NOWHERE = "ipv4:127.0.0.1:1"


class ResolvedChannel(grpc.aio.Channel):  # type: ignore[misc]
    """What `ServiceClients.channel` gives out: an ordinary channel for generated stubs."""

    def __init__(self, endpoint: Endpoint, settings: ServiceSettings) -> None:
        self._endpoint = endpoint
        self._forward = Forward(endpoint, settings)
        interceptors = [kind(self._forward) for kind in (_UnaryUnary, _UnaryStream, _StreamUnary, _StreamStream)]
        self._front = grpc.aio.insecure_channel(NOWHERE, interceptors=interceptors)

    def unary_unary(self, method: str, *args: Any, **kwargs: Any) -> Any:
        self._forward.learn(method, *args, **kwargs)
        return self._front.unary_unary(method, *args, **kwargs)

    def unary_stream(self, method: str, *args: Any, **kwargs: Any) -> Any:
        self._forward.learn(method, *args, **kwargs)
        return self._front.unary_stream(method, *args, **kwargs)

    def stream_unary(self, method: str, *args: Any, **kwargs: Any) -> Any:
        self._forward.learn(method, *args, **kwargs)
        return self._front.stream_unary(method, *args, **kwargs)

    def stream_stream(self, method: str, *args: Any, **kwargs: Any) -> Any:
        self._forward.learn(method, *args, **kwargs)
        return self._front.stream_stream(method, *args, **kwargs)

    async def __aenter__(self) -> ResolvedChannel:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self, grace: float | None = None) -> None:
        await self._front.close(grace)
        await self._endpoint.close()

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:
        channel = self._endpoint.present
        return grpc.ChannelConnectivity.IDLE if channel is None else channel.get_state(try_to_connect)

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        await (await self._endpoint.current(None)).wait_for_state_change(last_observed_state)

    async def channel_ready(self) -> None:
        await (await self._endpoint.current(None)).channel_ready()


class Forward:
    """Makes the real call: on the endpoint's channel, with a deadline, our token and the trace."""

    def __init__(self, endpoint: Endpoint, settings: ServiceSettings) -> None:
        self._endpoint = endpoint
        self._call_seconds = settings.call_seconds
        self._token = settings.token
        self._secure = settings.tls.secure_calls
        self._methods: dict[str, tuple[Any, Any]] = {}

    def learn(
        self,
        method: str,
        request_serializer: Callable[[Any], bytes] | None = None,
        response_deserializer: Callable[[bytes], Any] | None = None,
        _registered_method: bool | None = False,
    ) -> None:
        """Remembers how the method's messages are written and read."""
        self._methods[method] = (request_serializer, response_deserializer)

    async def call(self, kind: str, details: grpc.aio.ClientCallDetails, request: Any) -> Any:
        """The call on the real channel; unary ones without a deadline get the default one."""
        method = details.method.decode() if isinstance(details.method, bytes) else details.method
        timeout = details.timeout
        if timeout is None and kind == "unary_unary":
            timeout = self._call_seconds
        began = time.monotonic()
        channel = await self._endpoint.current(timeout)
        make = getattr(channel, kind)(method, *self._methods[method])
        return make(
            request,
            timeout=None if timeout is None else max(0.0, timeout - (time.monotonic() - began)),
            metadata=self._metadata(details.metadata),
            credentials=details.credentials,
            wait_for_ready=details.wait_for_ready,
        )

    def _metadata(self, given: Any) -> grpc.aio.Metadata:
        headers: dict[str, str] = {}
        propagate.inject(headers)
        # A token never crosses a network in the clear.
        if self._token is not None and (self._secure or self._endpoint.loopback):
            headers["authorization"] = f"Bearer {self._token.get_secret_value()}"
        return grpc.aio.Metadata(*(given or ()), *headers.items())


class _UnaryUnary(grpc.aio.UnaryUnaryClientInterceptor):  # type: ignore[misc]
    def __init__(self, forward: Forward) -> None:
        self._forward = forward

    async def intercept_unary_unary(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        return await self._forward.call("unary_unary", client_call_details, request)


class _UnaryStream(grpc.aio.UnaryStreamClientInterceptor):  # type: ignore[misc]
    def __init__(self, forward: Forward) -> None:
        self._forward = forward

    async def intercept_unary_stream(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        return await self._forward.call("unary_stream", client_call_details, request)


class _StreamUnary(grpc.aio.StreamUnaryClientInterceptor):  # type: ignore[misc]
    def __init__(self, forward: Forward) -> None:
        self._forward = forward

    async def intercept_stream_unary(self, continuation: Any, client_call_details: Any, request_iterator: Any) -> Any:
        return await self._forward.call("stream_unary", client_call_details, request_iterator)


class _StreamStream(grpc.aio.StreamStreamClientInterceptor):  # type: ignore[misc]
    def __init__(self, forward: Forward) -> None:
        self._forward = forward

    async def intercept_stream_stream(self, continuation: Any, client_call_details: Any, request_iterator: Any) -> Any:
        return await self._forward.call("stream_stream", client_call_details, request_iterator)
