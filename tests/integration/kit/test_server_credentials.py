"""Who may call: the token, TLS and mutual TLS, on real connections."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from bmase.reasons import Reason
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from services.kit.client import dialer
from services.kit.config import ServiceSettings
from services.kit.errors import from_rpc_error
from services.kit.server import GrpcServer
from tests.support.certificates import Certificates
from tests.support.echo import KINDS, Echo, EchoStub, registration

TOKEN = "the-token-of-these-tests"
UNAUTHENTICATED = grpc.StatusCode.UNAUTHENTICATED


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("tls"))


@asynccontextmanager
async def _serving(**settings: Any) -> AsyncIterator[tuple[Echo, GrpcServer]]:
    echo = Echo()
    async with GrpcServer(ServiceSettings(**settings), "echo", [registration(echo)]) as server:
        yield echo, server


async def _code(call: Callable[[], Any]) -> tuple[grpc.StatusCode, Reason | None]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call()
    error = from_rpc_error(caught.value)
    return caught.value.code(), error.reason if error else None


def _bearer(text: str) -> tuple[tuple[str, str], ...]:
    return (("authorization", text),)


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Bearer ", "Bearer wrong-token-of-tests", f"Basic {TOKEN}", TOKEN, f"Bearer {TOKEN}x"]
)
async def test_without_the_token_nothing_runs(header: str) -> None:
    async with _serving(token=TOKEN) as (echo, server), grpc.aio.insecure_channel(server.address) as channel:
        stub = EchoStub(channel)
        got = await _code(lambda: stub.say("hello", metadata=_bearer(header) if header else None))
        assert got == (UNAUTHENTICATED, Reason.UNAUTHENTICATED)
        assert echo.calls == 0


@pytest.mark.parametrize("kind", KINDS)
async def test_every_kind_of_call_is_guarded(kind: str) -> None:
    async with _serving(token=TOKEN) as (_, server), grpc.aio.insecure_channel(server.address) as channel:
        assert await _code(lambda: EchoStub(channel).by_kind(kind, "hello")) == (
            UNAUTHENTICATED,
            Reason.UNAUTHENTICATED,
        )


async def test_the_token_opens() -> None:
    async with _serving(token=TOKEN) as (_, server), grpc.aio.insecure_channel(server.address) as channel:
        for scheme in ("Bearer", "bearer"):
            assert await EchoStub(channel).say("hello", metadata=_bearer(f"{scheme} {TOKEN}")) == "echo:hello"


async def test_health_needs_no_token_and_reflection_does() -> None:
    async with _serving(token=TOKEN) as (_, server), grpc.aio.insecure_channel(server.address) as channel:
        health = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
        assert health.status == health_pb2.HealthCheckResponse.SERVING
        reflection = reflection_pb2_grpc.ServerReflectionStub(channel)

        async def listed(**options: Any) -> list[str]:
            asked = iter([reflection_pb2.ServerReflectionRequest(list_services="")])
            answers = reflection.ServerReflectionInfo(asked, **options)
            return [service.name async for answer in answers for service in answer.list_services_response.service]

        assert await _code(listed) == (UNAUTHENTICATED, Reason.UNAUTHENTICATED)
        assert "test.v1.Echo" in await listed(metadata=_bearer(f"Bearer {TOKEN}"))


async def test_tls_as_the_kits_own_clients_do_it(certificates: Certificates) -> None:
    tls = {**certificates.ours, "ca": certificates.ca}
    async with (
        _serving(tls=tls) as (_, server),
        dialer(ServiceSettings(tls={"ca": certificates.ca}))(server.address) as trusting,
        dialer(ServiceSettings(tls=certificates.strangers))(server.address) as distrusting,
        dialer(ServiceSettings())(server.address) as plain,
    ):
        assert await EchoStub(trusting).say("hello") == "echo:hello"
        for channel in (distrusting, plain):
            code, _ = await _code(lambda channel=channel: EchoStub(channel).say("hello", timeout=3))  # type: ignore[misc]
            assert code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)


async def test_mutual_tls_refuses_strangers(certificates: Certificates) -> None:
    tls = {**certificates.ours, "ca": certificates.ca, "mutual": True}
    stranger = {**certificates.strangers, "ca": certificates.ca, "mutual": True}
    async with (
        _serving(tls=tls) as (echo, server),
        dialer(ServiceSettings(tls=tls))(server.address) as ours,
        dialer(ServiceSettings(tls=stranger))(server.address) as strangers,
        dialer(ServiceSettings(tls={"ca": certificates.ca}))(server.address) as anonymous,
    ):
        assert await EchoStub(ours).say("hello") == "echo:hello"
        for channel in (strangers, anonymous):
            code, _ = await _code(lambda channel=channel: EchoStub(channel).say("hello", timeout=3))  # type: ignore[misc]
            assert code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
        assert echo.calls == 1


async def test_a_handshake_that_never_ends_disturbs_nobody(certificates: Certificates) -> None:
    async with _serving(tls=certificates.ours) as (_, server):
        _, silent = await asyncio.open_connection("127.0.0.1", server.port)
        async with dialer(ServiceSettings(tls={"ca": certificates.ca}))(server.address) as channel:
            assert await EchoStub(channel).say("hello", timeout=3) == "echo:hello"
        silent.close()
