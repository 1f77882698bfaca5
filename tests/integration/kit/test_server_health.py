"""Health and reflection as other programs see them: through the plugin's own channel and a blocking client."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from services.kit.config import ServiceSettings
from services.kit.interceptors import HEALTH, REFLECTION
from services.kit.server import GrpcServer, Registration
from tests.support.echo import NAME, Echo, registration

SERVING = health_pb2.HealthCheckResponse.SERVING


class ThreadedServer:
    """Our server where pytest-grpc expects a blocking one: it runs on a loop in a thread of its own."""

    def __init__(self) -> None:
        self.registrations: list[Registration] = []
        self._address = ""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def add_insecure_port(self, address: str) -> None:
        self._address = address

    def start(self) -> None:
        self._thread.start()
        self._run(self._start())

    def stop(self, grace: float | None = None) -> None:
        self._run(self._server.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _start(self) -> None:
        self._server = GrpcServer(ServiceSettings(listen=self._address), "echo", self.registrations)
        await self._server.start()

    def _run(self, work: Any) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=20)


@pytest.fixture(scope="module")
def _grpc_server() -> ThreadedServer:
    return ThreadedServer()


@pytest.fixture(scope="module")
def grpc_servicer() -> Echo:
    return Echo()


@pytest.fixture(scope="module")
def grpc_add_to_server() -> Callable[[Echo, ThreadedServer], None]:
    def add(servicer: Echo, server: ThreadedServer) -> None:
        server.registrations.append(registration(servicer))

    return add


@pytest.fixture(scope="module")
def grpc_stub_cls() -> type[health_pb2_grpc.HealthStub]:
    return health_pb2_grpc.HealthStub


@pytest.mark.parametrize("service", ["", NAME])
def test_the_server_and_its_services_are_serving(service: str, grpc_stub: health_pb2_grpc.HealthStub) -> None:
    assert grpc_stub.Check(health_pb2.HealthCheckRequest(service=service)).status == SERVING


def test_an_unknown_service_is_not_found(grpc_stub: health_pb2_grpc.HealthStub) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        grpc_stub.Check(health_pb2.HealthCheckRequest(service="nobody"))
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND  # type: ignore[attr-defined]


def test_watching_an_unknown_service_says_so(grpc_stub: health_pb2_grpc.HealthStub) -> None:
    watch = grpc_stub.Watch(health_pb2.HealthCheckRequest(service="nobody"))
    assert next(watch).status == health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
    watch.cancel()


@pytest.fixture
def listed(grpc_channel: grpc.Channel) -> set[str]:
    stub = reflection_pb2_grpc.ServerReflectionStub(grpc_channel)
    (answer,) = stub.ServerReflectionInfo(iter([reflection_pb2.ServerReflectionRequest(list_services="")]))
    return {service.name for service in answer.list_services_response.service}


def test_reflection_lists_every_service(listed: set[str]) -> None:
    assert listed == {NAME, HEALTH, REFLECTION}


def test_reflection_gives_descriptors(grpc_channel: grpc.Channel) -> None:
    database = ProtoReflectionDescriptorDatabase(grpc_channel)
    file = database.FindFileContainingSymbol(HEALTH)
    assert [method.name for method in file.service[0].method][:2] == ["Check", "Watch"]
