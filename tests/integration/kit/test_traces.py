"""Spans leave the process by OTLP when an endpoint is set: received here by a real gRPC server."""

from __future__ import annotations

import threading
import time
from collections.abc import AsyncIterator, Iterator
from concurrent import futures
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from pydantic_settings import SettingsConfigDict

from services.kit import telemetry
from services.kit.config import ServiceSettings
from services.kit.server import GrpcServer
from tests.support.echo import Echo, EchoStub, registration


class ShopSettings(ServiceSettings):
    """A service for these tests."""

    model_config = SettingsConfigDict(env_prefix="BMASE_SHOP_")


class Collector(trace_service_pb2_grpc.TraceServiceServicer):  # type: ignore[misc]
    """Keeps what it is sent."""

    def __init__(self) -> None:
        self.batches: list[Any] = []
        self.lock = threading.Lock()

    def Export(self, request: Any, context: Any) -> Any:
        with self.lock:
            self.batches.extend(request.resource_spans)
        return trace_service_pb2.ExportTraceServiceResponse()


@pytest.fixture
def collector() -> Iterator[tuple[Collector, str]]:
    collector = Collector()
    server = grpc.server(futures.ThreadPoolExecutor(2))
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(collector, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield collector, f"http://127.0.0.1:{port}"
    server.stop(None)


@asynccontextmanager
async def _shop(settings: ShopSettings) -> AsyncIterator[EchoStub]:
    with telemetry.start(settings) as measured:
        async with (
            GrpcServer(settings, "shop", [registration(Echo())], telemetry=measured) as server,
            grpc.aio.insecure_channel(server.address) as channel,
        ):
            yield EchoStub(channel)


async def test_spans_arrive_with_the_names_and_codes_of_the_calls(collector: tuple[Collector, str]) -> None:
    async with _shop(ShopSettings(otlp_endpoint=collector[1], instance="shop-1")) as stub:
        await stub.say("hello")
        with pytest.raises(grpc.aio.AioRpcError):
            await stub.say("crash")
    (resource,) = {str(batch.resource) for batch in collector[0].batches}
    assert "bmase-shop" in resource
    assert "shop-1" in resource
    spans = [span for batch in collector[0].batches for scope in batch.scope_spans for span in scope.spans]
    assert [span.name for span in spans] == ["test.v1.Echo/UnaryUnary"] * 2
    codes = [{item.key: item.value.int_value for item in span.attributes}["rpc.grpc.status_code"] for span in spans]
    assert codes == [grpc.StatusCode.OK.value[0], grpc.StatusCode.INTERNAL.value[0]]
    assert [span.status.code for span in spans] == [0, 2]
    assert not any(span.events for span in spans), "an exception's words do not leave the process"


async def test_a_collector_that_is_away_holds_up_neither_calls_nor_the_end() -> None:
    began = time.monotonic()
    async with _shop(ShopSettings(otlp_endpoint="http://127.0.0.1:9")) as stub:
        assert await stub.say("hello") == "echo:hello"
    assert time.monotonic() - began < 5
