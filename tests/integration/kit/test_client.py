"""Clients that find servers through a real Consul, while servers come, go and die, and Consul too."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import grpc
import pytest
from bmase.reasons import Reason
from google.protobuf.wrappers_pb2 import StringValue

from services.kit.client import ServiceClients
from services.kit.config import ServiceSettings
from services.kit.consul import Consul
from services.kit.errors import from_rpc_error
from services.kit.server import GrpcServer
from services.kit.telemetry import Telemetry
from tests.support.certificates import Certificates
from tests.support.consul import Consul as ConsulServer
from tests.support.echo import KINDS, Echo, EchoStub, registration

TOKEN = "the-token-of-these-tests"


class Fleet:
    """Servers of one service, named after the test so that tests share a Consul."""

    def __init__(self, name: str, consul: Consul, stack: AsyncExitStack) -> None:
        self.name = name
        self._consul = consul
        self._stack = stack

    async def add(self, instance: str, **settings: Any) -> tuple[Echo, GrpcServer]:
        echo = Echo(instance)
        unique = ServiceSettings(instance=f"{self.name}-{instance}", **settings)
        server = GrpcServer(unique, self.name, [registration(echo)], consul=self._consul)
        await self._stack.enter_async_context(server)
        return echo, server


@pytest.fixture
async def fleet(consul: Consul, request: pytest.FixtureRequest) -> AsyncIterator[Fleet]:
    name = "".join(char if char.isalnum() else "-" for char in request.node.name)[:50].strip("-")
    async with AsyncExitStack() as stack:
        yield Fleet(name, consul, stack)


@pytest.fixture
async def stub(fleet: Fleet, consul: Consul) -> AsyncIterator[EchoStub]:
    async with ServiceClients(consul, ServiceSettings(token=TOKEN)) as clients:
        yield EchoStub(clients.channel(fleet.name))


async def _eventually(condition: Callable[[], Awaitable[bool]], seconds: float = 10) -> None:
    async with asyncio.timeout(seconds):
        while not await condition():
            await asyncio.sleep(0.05)


def _answered_by(stub: EchoStub, *names: str) -> Callable[[], Awaitable[bool]]:
    async def ask() -> bool:
        return {(await stub.say("who")).split(":")[0] for _ in range(10)} == set(names)

    return ask


@pytest.mark.parametrize("kind", KINDS)
async def test_every_kind_of_call_arrives(kind: str, fleet: Fleet, stub: EchoStub) -> None:
    await fleet.add("a", token=TOKEN)
    await _eventually(_answered_by(stub, "a"))
    assert (await stub.by_kind(kind, "hello"))[-1] in ("a:hello", "1")


@pytest.mark.parametrize("kind", KINDS)
async def test_every_kind_of_call_brings_the_servers_error(kind: str, fleet: Fleet, stub: EchoStub) -> None:
    await fleet.add("a", token=TOKEN)
    await _eventually(_answered_by(stub, "a"))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.by_kind(kind, "refuse")
    error = from_rpc_error(caught.value)
    assert error is not None
    assert (error.reason, error.hint) == (Reason.MODEL_NOT_FOUND, "push it first")


@pytest.mark.parametrize("kind", KINDS)
async def test_a_service_that_nobody_offers_is_named(kind: str, consul: Consul) -> None:
    async with ServiceClients(consul, ServiceSettings()) as clients:
        stub = EchoStub(clients.channel("nobody"))
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await asyncio.wait_for(stub.by_kind(kind, "hello"), 8)
    error = from_rpc_error(caught.value)
    assert error is not None
    assert (caught.value.code(), error.reason) == (grpc.StatusCode.UNAVAILABLE, Reason.SERVICE_UNAVAILABLE)
    assert "'nobody'" in error.message


async def test_the_first_call_waits_for_a_service_that_is_starting(fleet: Fleet, stub: EchoStub) -> None:
    early = asyncio.create_task(stub.say("early"))
    await asyncio.sleep(0.3)
    await fleet.add("a", token=TOKEN)
    assert await early == "a:early"


async def test_token_trace_and_deadline_travel(fleet: Fleet, stub: EchoStub) -> None:
    echo, _ = await fleet.add("a", token=TOKEN)
    await _eventually(_answered_by(stub, "a"))
    with Telemetry().tracer.start_as_current_span("caller") as span:
        await stub.say("hello", metadata=(("x-own", "kept"),))
    assert echo.headers["authorization"] == f"Bearer {TOKEN}"
    assert echo.headers["traceparent"].split("-")[1] == f"{span.get_span_context().trace_id:032x}"
    assert echo.headers["x-own"] == "kept"


async def test_a_call_without_deadline_ends(fleet: Fleet, consul: Consul) -> None:
    await fleet.add("a")
    async with ServiceClients(consul, ServiceSettings(call_seconds=0.5)) as clients:
        stub = EchoStub(clients.channel(fleet.name))
        assert await stub.say("hello", timeout=10) == "a:hello"
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.say("sleep:20")
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED


async def test_no_call_is_lost_while_servers_come_and_go(fleet: Fleet, stub: EchoStub) -> None:
    outcomes: Counter[str] = Counter()
    done = asyncio.Event()

    async def caller() -> None:
        while not done.is_set():
            try:
                outcomes[(await stub.say("sleep:0.005")).split(":")[0]] += 1
            except grpc.aio.AioRpcError as error:
                outcomes[f"{error.code().name} {error.details()}"] += 1

    _, first = await fleet.add("a", token=TOKEN)
    await _eventually(_answered_by(stub, "a"))
    callers = [asyncio.create_task(caller()) for _ in range(10)]
    for name in ("b", "c"):
        _, last = await fleet.add(name, token=TOKEN)
        await _eventually(_seen(outcomes, name))
        await first.stop()
        first = last
    before = outcomes["c"]
    await _eventually(_more(outcomes, "c", before))
    done.set()
    await asyncio.gather(*callers)
    assert set(outcomes) == {"a", "b", "c"}, outcomes


def _seen(outcomes: Counter[str], name: str) -> Callable[[], Awaitable[bool]]:
    return _more(outcomes, name, 20)


def _more(outcomes: Counter[str], name: str, than: int) -> Callable[[], Awaitable[bool]]:
    async def more() -> bool:
        return outcomes[name] > than

    return more


async def test_a_watch_outlives_changes_elsewhere(fleet: Fleet, stub: EchoStub) -> None:
    await fleet.add("a", token=TOKEN)
    await _eventually(_answered_by(stub, "a"))
    watch = stub.watch(StringValue())
    assert (await watch.read()).value == "a"
    _, other = await fleet.add("b", token=TOKEN)
    await _eventually(_answered_by(stub, "a", "b"))
    await other.stop()
    await _eventually(_answered_by(stub, "a"))
    for _ in range(5):
        assert (await watch.read()).value == "a"
    watch.cancel()


async def _to_the_end(watch: Any) -> None:
    async for _ in watch:
        pass


async def test_a_watch_is_told_to_go_elsewhere_when_its_server_drains(fleet: Fleet, stub: EchoStub) -> None:
    _, first = await fleet.add("a", token=TOKEN)
    await _eventually(_answered_by(stub, "a"))
    watch = stub.watch(StringValue())
    await watch.read()
    stopping = asyncio.create_task(first.stop())
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await asyncio.wait_for(_to_the_end(watch), 3)
    error = from_rpc_error(caught.value)
    assert error is not None
    assert error.reason is Reason.DRAINING
    await stopping


async def test_calls_go_on_without_consul_and_after_it_lost_its_memory(
    fleet: Fleet, stub: EchoStub, consul_server: ConsulServer
) -> None:
    await fleet.add("a", token=TOKEN)
    await _eventually(_answered_by(stub, "a"))
    consul_server.kill()
    for _ in range(20):
        assert await stub.say("hello") == "a:hello"
        await asyncio.sleep(0.05)
    consul_server.wipe()
    for _ in range(20):
        assert await stub.say("hello") == "a:hello"
        await asyncio.sleep(0.05)
    await fleet.add("b", token=TOKEN)
    await _eventually(_answered_by(stub, "a", "b"), 20)


async def test_a_server_that_comes_back_elsewhere_is_found(fleet: Fleet, stub: EchoStub) -> None:
    _, first = await fleet.add("a", token=TOKEN)
    await _eventually(_answered_by(stub, "a"))
    await first.stop()
    await fleet.add("a", token=TOKEN)
    refusals: set[grpc.StatusCode] = set()

    async def again() -> bool:
        try:
            return await stub.say("hello", timeout=5) == "a:hello"
        except grpc.aio.AioRpcError as error:
            refusals.add(error.code())
            return False

    await _eventually(again)
    assert refusals <= {grpc.StatusCode.UNAVAILABLE}


async def test_cancelling_reaches_the_server(fleet: Fleet, stub: EchoStub) -> None:
    echo, _ = await fleet.add("a", token=TOKEN)
    await _eventually(_answered_by(stub, "a"))
    watch = stub.watch(StringValue())
    await watch.read()
    assert echo.open_streams == 1
    watch.cancel()

    async def gone() -> bool:
        return echo.open_streams == 0

    await _eventually(gone)


async def test_closing_leaves_no_task_behind(fleet: Fleet, consul: Consul) -> None:
    await fleet.add("a")
    before = asyncio.all_tasks()
    async with ServiceClients(consul, ServiceSettings()) as clients:
        stub = EchoStub(clients.channel(fleet.name))
        await _eventually(_answered_by(stub, "a"))
        watch = stub.watch(StringValue())
        await watch.read()
    await asyncio.sleep(0.2)
    left = {task.get_name() for task in asyncio.all_tasks() - before if "instances" in task.get_name()}
    assert left == set()


@pytest.mark.parametrize("mutual", [False, True])
async def test_with_tls_the_instance_passes_its_check_and_the_token_travels(
    mutual: bool, fleet: Fleet, consul: Consul, tmp_path: Path
) -> None:
    certificates = Certificates(tmp_path)
    tls = {**certificates.ours, "ca": certificates.ca, "mutual": mutual}
    echo, _ = await fleet.add("a", token=TOKEN, tls=tls)
    own = tls if mutual else {"ca": certificates.ca}
    async with ServiceClients(consul, ServiceSettings(token=TOKEN, tls=own)) as clients:
        assert await EchoStub(clients.channel(fleet.name)).say("hello", timeout=10) == "a:hello"
    assert echo.headers["authorization"] == f"Bearer {TOKEN}"
