"""Calls of inference through a gateway, whose address stands in Consul."""

from __future__ import annotations

import asyncio
import time
from typing import Any, NamedTuple

import grpc
from bmase.reasons import Reason
from tritonclient.grpc import service_pb2

from services.kit.client import dialer
from services.kit.config import ServiceSettings
from services.kit.consul import Consul
from services.kit.consul.documents import GATEWAYS, Document, read
from services.kit.errors import DomainError
from services.monitor.samples.model import REPLAY_CLIENT

INFER = "/inference.GRPCInferenceService/ModelInfer"
CLIENT_HEADER = "x-bmase-client"
CALL_SECONDS = 10.0
CONNECT_SECONDS = 3.0


class Door(Document):
    """The part of a gateway's report that says where clients connect."""

    address: str = ""


class Answer(NamedTuple):
    """What came back: `code` OK and the response's bytes, or another code and its words."""

    code: grpc.StatusCode
    data: bytes
    words: str
    duration_ms: float

    @property
    def failed(self) -> bool:
        return self.code is not grpc.StatusCode.OK


class GatewayCalls:
    """A channel to a gateway that answers; a context, closed with its calls."""

    def __init__(self, consul: Consul, settings: ServiceSettings) -> None:
        self._consul = consul
        self._dial = dialer(settings)
        self._settings = settings
        self._channel: grpc.aio.Channel | None = None
        self._metadata: tuple[tuple[str, str], ...] = ((CLIENT_HEADER, REPLAY_CLIENT),)

    async def __aenter__(self) -> GatewayCalls:
        addresses = await self._addresses()
        for address in addresses:
            channel = self._dial(address)
            try:
                async with asyncio.timeout(CONNECT_SECONDS):
                    await channel.channel_ready()
            except TimeoutError:
                await channel.close()
                continue
            self._channel = channel
            self._metadata += self._credentials(address)
            return self
        known = ", ".join(addresses) or "none is known in Consul"
        raise DomainError(
            Reason.SERVICE_UNAVAILABLE,
            f"no gateway answers ({known}), and samples are replayed through one",
            hint="See `bmase status`.",
        )

    async def __aexit__(self, *_: object) -> None:
        if self._channel is not None:
            await self._channel.close()

    async def infer(self, request: Any, version: int, timeout: float = CALL_SECONDS) -> Answer:
        """One call of the version by its number; an error is an answer too."""
        assert self._channel is not None
        copy = service_pb2.ModelInferRequest()
        copy.CopyFrom(request)
        copy.model_version = str(version)
        call = self._channel.unary_unary(INFER, request_serializer=_serialised, response_deserializer=None)
        begun = time.perf_counter()
        try:
            data = await call(copy, timeout=timeout, metadata=self._metadata)
        except grpc.aio.AioRpcError as error:
            return Answer(error.code(), b"", error.details() or "", _since(begun))
        return Answer(grpc.StatusCode.OK, data, "", _since(begun))

    async def _addresses(self) -> list[str]:
        listing = await self._consul.kv.list(GATEWAYS)
        doors = [read(Door, entry.value) for entry in listing.entries.values()]
        return sorted({door.address for door in doors if door is not None and door.address})

    def _credentials(self, address: str) -> tuple[tuple[str, str], ...]:
        token = self._settings.token
        # A token never crosses a network in the clear.
        safe = self._settings.tls.secure_calls or address.startswith(("127.", "[::1]", "localhost:"))
        return (("authorization", f"Bearer {token.get_secret_value()}"),) if token and safe else ()


def _serialised(message: Any) -> bytes:
    return bytes(message.SerializeToString())


def _since(begun: float) -> float:
    return 1000 * (time.perf_counter() - begun)
