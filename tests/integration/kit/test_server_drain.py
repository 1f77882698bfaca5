"""Stopping a server under traffic: nothing in flight is lost, and what is refused can be repeated elsewhere."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable
from typing import Any

import grpc
import pytest
from bmase.reasons import Reason
from google.protobuf.wrappers_pb2 import StringValue
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.kit.client import dialer
from services.kit.client_endpoint import uri
from services.kit.config import ServiceSettings
from services.kit.errors import from_rpc_error
from services.kit.server import GrpcServer
from tests.support.echo import NAME, Echo, EchoStub, registration

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


async def _started(drain_seconds: float = 5, name: str = "echo") -> tuple[Echo, GrpcServer]:
    echo = Echo(name)
    server = GrpcServer(ServiceSettings(drain_seconds=drain_seconds), "echo", [registration(echo)])
    await server.start()
    return echo, server


async def _reason(call: Awaitable[Any]) -> Reason | None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    error = from_rpc_error(caught.value)
    return error.reason if error else None


async def _watch_to_the_end(stub: EchoStub, started: asyncio.Event) -> None:
    async for _ in stub.watch(StringValue()):
        started.set()


async def test_running_calls_finish_new_ones_are_refused_and_watches_end() -> None:
    echo, server = await _started()
    async with grpc.aio.insecure_channel(server.address) as channel:
        stub, watching = EchoStub(channel), asyncio.Event()
        running = [asyncio.create_task(stub.by_kind(kind, "sleep:0.6")) for kind in ("unary_unary", "unary_stream")]
        upload = stub.stream_unary()
        await upload.write(StringValue(value="part 1"))
        watch = asyncio.create_task(_reason(_watch_to_the_end(stub, watching)))
        await watching.wait()
        stopping = asyncio.create_task(server.stop())
        assert await asyncio.wait_for(watch, 0.4) is Reason.DRAINING
        assert await _reason(stub.say("late")) is Reason.DRAINING
        await upload.write(StringValue(value="part 2"))
        await upload.done_writing()
        assert (await upload).value == "2"
        assert [(await task)[-1] for task in running] == ["echo:sleep:0.6"] * 2
        assert not stopping.done() or stopping.exception() is None
        await asyncio.wait_for(stopping, 1)
        assert await _reason(stub.say("gone")) is None
    assert echo.open_streams == 0


async def test_stopping_without_traffic_takes_no_time() -> None:
    _, server = await _started()
    async with grpc.aio.insecure_channel(server.address) as channel:
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(service=NAME))
        assert (await watch.read()).status == SERVING
        await asyncio.wait_for(server.stop(), 0.5)
        assert (await watch.read()).status == NOT_SERVING
        await server.stop()


async def test_what_does_not_finish_in_time_is_ended_as_draining() -> None:
    _, server = await _started(drain_seconds=0.3)
    async with grpc.aio.insecure_channel(server.address) as channel:
        call = asyncio.create_task(_reason(EchoStub(channel).say("sleep:30")))
        await asyncio.sleep(0.1)
        await asyncio.wait_for(server.stop(), 2)
        assert await call is Reason.DRAINING


async def test_health_says_so_to_every_watcher() -> None:
    _, server = await _started()
    async with grpc.aio.insecure_channel(server.address) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        running = asyncio.create_task(EchoStub(channel).say("sleep:0.5"))
        watches = [health.Watch(health_pb2.HealthCheckRequest(service=NAME)) for _ in range(3)]
        assert [(await watch.read()).status for watch in watches] == [SERVING] * 3
        watches.pop().cancel()
        await asyncio.sleep(0.1)
        stopping = asyncio.create_task(server.stop())
        assert [(await watch.read()).status for watch in watches] == [NOT_SERVING] * 2
        assert (await health.Check(health_pb2.HealthCheckRequest())).status == NOT_SERVING
        assert await running == "echo:sleep:0.5"
        await stopping


async def test_a_client_that_retries_loses_no_call_while_servers_come_and_go() -> None:
    """Two servers under load from one channel as `ServiceClients` makes it; one of them drains in the middle."""
    outcomes: Counter[str] = Counter()
    (one, first), (two, second) = await _started(name="one"), await _started(name="two")
    done = asyncio.Event()
    async with dialer(ServiceSettings())(uri([first.address, second.address])) as channel:
        stub = EchoStub(channel)

        async def caller() -> None:
            while not done.is_set():
                try:
                    outcomes[(await stub.say("sleep:0.01", timeout=10)).split(":")[0]] += 1
                except grpc.aio.AioRpcError as error:
                    outcomes[f"{error.code().name} {error.details()}"] += 1

        callers = [asyncio.create_task(caller()) for _ in range(20)]
        await asyncio.sleep(0.5)
        before = one.calls
        await first.stop()
        await asyncio.sleep(0.5)
        done.set()
        await asyncio.gather(*callers)
    await second.stop()
    assert set(outcomes) == {"one", "two"}, outcomes
    assert before > 50, "the first server took part"
    assert two.calls > 50


async def test_without_retries_every_call_succeeds_or_says_unavailable() -> None:
    echo, server = await _started()
    outcomes: Counter[str] = Counter()
    async with grpc.aio.insecure_channel(server.address, [("grpc.enable_retries", 0)]) as channel:
        stub = EchoStub(channel)

        async def caller() -> None:
            while True:
                try:
                    await stub.say("sleep:0.005")
                    outcomes["OK"] += 1
                except grpc.aio.AioRpcError as error:
                    outcomes[error.code().name] += 1
                    return

        callers = [asyncio.create_task(caller()) for _ in range(50)]
        await asyncio.sleep(0.4)
        await server.stop()
        await asyncio.gather(*callers)
    assert outcomes.pop("OK") == echo.calls
    assert outcomes == {"UNAVAILABLE": 50}
