"""The server on a real port, called by a real client: every kind of call through every layer."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
import pytest
import structlog
from bmase.reasons import Reason
from google.protobuf.wrappers_pb2 import StringValue
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.kit.config import ServiceSettings
from services.kit.errors import INTERNAL_TEXT, DomainError, from_rpc_error
from services.kit.server import GrpcServer
from services.kit.telemetry import Telemetry
from tests.support.echo import KINDS, NAME, SECRET, Echo, EchoStub, registration

LIMIT = 64 * 1024

Logs = list[Any]


@pytest.fixture
def logs() -> Any:
    with structlog.testing.capture_logs() as captured:
        yield captured


@pytest.fixture
def telemetry() -> Telemetry:
    return Telemetry()


@pytest.fixture
async def echo(logs: Logs, telemetry: Telemetry) -> AsyncIterator[tuple[Echo, GrpcServer]]:
    servicer = Echo()
    settings = ServiceSettings(max_message_bytes=LIMIT, call_seconds=0.5)
    async with GrpcServer(settings, "echo", [registration(servicer)], telemetry=telemetry) as server:
        yield servicer, server


@pytest.fixture
async def stub(echo: tuple[Echo, GrpcServer]) -> AsyncIterator[EchoStub]:
    async with grpc.aio.insecure_channel(echo[1].address) as channel:
        yield EchoStub(channel)


async def _error(call: Awaitable[Any]) -> tuple[grpc.StatusCode, DomainError | None, str]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value.code(), from_rpc_error(caught.value), str(caught.value.details())


async def _eventually(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.01)


def _calls(logs: Logs) -> list[Any]:
    return [line for line in logs if line["event"] == "grpc.call"]


@pytest.mark.parametrize("kind", KINDS)
async def test_answers(kind: str, stub: EchoStub) -> None:
    assert (await stub.by_kind(kind, "hello"))[-1] in ("echo:hello", "1")


@pytest.mark.parametrize("kind", KINDS)
async def test_a_domain_error_keeps_its_reason(kind: str, stub: EchoStub) -> None:
    code, error, text = await _error(stub.by_kind(kind, "refuse"))
    assert (code, text) == (grpc.StatusCode.NOT_FOUND, "no model 'm'")
    assert error is not None
    assert (error.reason, error.hint, error.metadata) == (Reason.MODEL_NOT_FOUND, "push it first", {"model": "m"})


@pytest.mark.parametrize("kind", KINDS)
async def test_broken_bounds_name_the_field(kind: str, stub: EchoStub) -> None:
    code, error, _ = await _error(stub.by_kind(kind, "invalid"))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert error is not None
    assert [violation.field for violation in error.violations] == ["version.files[2].digest"]


@pytest.mark.parametrize("kind", KINDS)
async def test_a_defect_is_logged_and_says_nothing(kind: str, stub: EchoStub, logs: Logs) -> None:
    code, error, text = await _error(stub.by_kind(kind, "crash"))
    assert (code, text) == (grpc.StatusCode.INTERNAL, INTERNAL_TEXT)
    assert error is not None
    assert SECRET not in str(vars(error))
    await _eventually(lambda: bool(_calls(logs)))
    (unhandled,) = [line for line in logs if line["event"] == "grpc.unhandled"]
    assert SECRET in str(unhandled["exc_info"])
    assert len(error.metadata["trace_id"]) == 32
    assert int(error.metadata["trace_id"], 16) != 0
    assert _calls(logs)[0]["log_level"] == "error"


@pytest.mark.parametrize("kind", KINDS)
async def test_a_full_disk_is_named(kind: str, stub: EchoStub) -> None:
    code, error, _ = await _error(stub.by_kind(kind, "full"))
    assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert error is not None
    assert error.reason is Reason.STORAGE_FULL


def _raw(channel: grpc.aio.Channel, kind: str, payload: bytes) -> Awaitable[Any]:
    method = "".join(part.capitalize() for part in kind.split("_"))
    make = getattr(channel, kind)(f"/{NAME}/{method}")
    call = make(iter([payload]) if kind.startswith("stream") else payload)

    async def drained() -> Any:
        return [response async for response in call] if kind.endswith("stream") else await call

    return drained()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("payload", [b"\xff\xff", b"\x0a\x05abc", b"\x0a\x01\xff"])
async def test_malformed_protobuf(kind: str, payload: bytes, echo: tuple[Echo, GrpcServer]) -> None:
    async with grpc.aio.insecure_channel(echo[1].address) as channel:
        code, error, text = await _error(_raw(channel, kind, payload))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert text == "the request is not a valid google.protobuf.StringValue message"
    assert error is not None
    assert error.reason is Reason.INVALID_FIELD
    assert echo[0].finished_uploads == []


@pytest.mark.parametrize("kind", KINDS)
async def test_an_oversized_message_is_refused_and_no_upload_looks_finished(
    kind: str, echo: tuple[Echo, GrpcServer], stub: EchoStub
) -> None:
    code, _, text = await _error(stub.by_kind(kind, "x" * 2 * LIMIT))
    assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert str(LIMIT) in text
    assert echo[0].finished_uploads == []
    assert await stub.say("still here") == "echo:still here"


async def test_a_cancelled_upload_does_not_look_finished(
    echo: tuple[Echo, GrpcServer], stub: EchoStub, logs: Logs
) -> None:
    for _ in range(20):
        call = stub.stream_unary()
        await call.write(StringValue(value="part"))
        call.cancel()
    await _eventually(lambda: sum(line["code"] == "CANCELLED" for line in _calls(logs)) >= 1)
    await asyncio.sleep(0.2)
    assert echo[0].finished_uploads == []


async def test_cancelled_calls_are_no_errors(echo: tuple[Echo, GrpcServer], stub: EchoStub, logs: Logs) -> None:
    call = stub.watch(StringValue())
    assert (await call.read()).value == "echo"
    call.cancel()
    await _eventually(lambda: bool(_calls(logs)))
    assert [(line["code"], line["log_level"]) for line in _calls(logs)] == [("CANCELLED", "info")]
    assert echo[0].open_streams == 0


async def test_a_client_that_vanishes_leaves_nothing_behind(echo: tuple[Echo, GrpcServer], logs: Logs) -> None:
    async with grpc.aio.insecure_channel(echo[1].address) as channel:
        await EchoStub(channel).watch(StringValue()).read()
        assert echo[0].open_streams == 1
    await _eventually(lambda: echo[0].open_streams == 0)
    assert not [line for line in logs if line["log_level"] == "error"]


async def test_the_callers_deadline_is_no_error(stub: EchoStub, logs: Logs) -> None:
    code, _, _ = await _error(stub.say("sleep:5", timeout=0.1))
    assert code is grpc.StatusCode.DEADLINE_EXCEEDED
    await _eventually(lambda: bool(_calls(logs)))
    assert [(line["code"], line["log_level"]) for line in _calls(logs)] == [("DEADLINE_EXCEEDED", "info")]


async def test_a_call_without_deadline_gets_the_servers(stub: EchoStub) -> None:
    code, error, _ = await _error(stub.say("sleep:5"))
    assert code is grpc.StatusCode.DEADLINE_EXCEEDED
    assert error is not None
    assert error.hint == "set a deadline on the call"
    assert await stub.say("sleep:0.7", timeout=5) == "echo:sleep:0.7"
    assert await stub.by_kind("unary_stream", "sleep:0.7") == ["first", "echo:sleep:0.7"]


async def test_metrics(stub: EchoStub, telemetry: Telemetry) -> None:
    def value(name: str, **labels: str) -> float | None:
        return telemetry.registry.get_sample_value(name, {"grpc_service": NAME, **labels})

    await stub.say("a")
    await _error(stub.say("refuse"))
    watching = stub.watch(StringValue())
    await watching.read()
    assert value("bmase_grpc_in_flight", grpc_method="WatchEcho") == 1
    watching.cancel()
    await _eventually(lambda: value("bmase_grpc_in_flight", grpc_method="WatchEcho") == 0)
    for method, code, count in (("UnaryUnary", "OK", 1), ("UnaryUnary", "NOT_FOUND", 1), ("WatchEcho", "CANCELLED", 1)):
        assert value("bmase_grpc_requests_total", grpc_method=method, grpc_code=code) == count
    assert value("bmase_grpc_request_seconds_count", grpc_method="UnaryUnary") == 2


async def test_the_callers_trace_is_continued(stub: EchoStub) -> None:
    trace_id = "0af7651916cd43dd8448eb211c80319c"
    metadata = (("traceparent", f"00-{trace_id}-b7ad6b7169203331-01"),)
    _, error, _ = await _error(stub.say("crash", metadata=metadata))
    assert error is not None
    assert error.metadata["trace_id"] == trace_id


async def test_an_unknown_method(echo: tuple[Echo, GrpcServer]) -> None:
    async with grpc.aio.insecure_channel(echo[1].address) as channel:
        code, _, _ = await _error(channel.unary_unary(f"/{NAME}/Nothing")(b""))
    assert code is grpc.StatusCode.UNIMPLEMENTED


async def test_a_second_server_on_the_port_fails_instead_of_sharing_it(echo: tuple[Echo, GrpcServer]) -> None:
    settings = ServiceSettings(listen=f"127.0.0.1:{echo[1].port}")
    with pytest.raises(OSError, match=f"cannot listen on 127.0.0.1:{echo[1].port}"):
        await GrpcServer(settings, "second", [registration(Echo())]).start()


async def test_garbage_on_the_port_disturbs_nobody(echo: tuple[Echo, GrpcServer], stub: EchoStub) -> None:
    with socket.create_connection(("127.0.0.1", echo[1].port)) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" + bytes(range(256)) * 100)
    assert await stub.say("hello") == "echo:hello"


async def test_calls_beyond_the_limit_are_shed_and_health_still_answers(logs: Logs) -> None:
    servicer = Echo()
    settings = ServiceSettings(max_calls=2)
    async with (
        GrpcServer(settings, "echo", [registration(servicer)]) as server,
        grpc.aio.insecure_channel(server.address) as channel,
    ):
        stub = EchoStub(channel)
        watches = [stub.watch(StringValue()) for _ in range(2)]
        for watch in watches:
            await watch.read()
        code, error, _ = await _error(stub.say("one too many"))
        assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert error is not None
        assert error.reason is Reason.OVERLOADED
        health = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
        assert health.status == health_pb2.HealthCheckResponse.SERVING
        watches[0].cancel()
        await _eventually(lambda: servicer.open_streams == 1)
        assert await stub.say("room again") == "echo:room again"
