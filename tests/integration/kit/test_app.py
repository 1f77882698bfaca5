"""Whole processes: how they start, stop, and say what is wrong."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sys
import textwrap
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.wrappers_pb2 import StringValue

from tests.support.echo import EchoStub
from tests.support.process import Process

ROOT = Path(__file__).parents[3]

ECHO = """
    async def build(stack):
        settings = ShopSettings()
        measured = stack.enter_context(telemetry.start(settings))
        stack.push_async_callback(said, "first built, last down")
        await stack.enter_async_context(GrpcServer(settings, "shop", [registration(Echo())], telemetry=measured))
        stack.push_async_callback(said, "last built, first down")
"""

HEAD = """
    import asyncio, os
    from pydantic_settings import SettingsConfigDict
    from services.kit import telemetry
    from services.kit.app import run, supervise
    from services.kit.config import ServiceSettings
    from services.kit.server import GrpcServer
    from tests.support.echo import Echo, registration

    class ShopSettings(ServiceSettings):
        model_config = SettingsConfigDict(env_prefix="BMASE_SHOP_")

    async def said(what):
        telemetry.log.info(what)
"""


class Service(Process):
    """A process made from a few lines; its log is JSON."""

    def events(self) -> list[dict[str, Any]]:
        lines = self.log.read_text().splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    def event(self, name: str) -> dict[str, Any]:
        return next(event for event in self.events() if event["event"] == name)

    def until(self, name: str) -> dict[str, Any]:
        self.wait_until(lambda: any(event["event"] == name for event in self.events()), name, timeout=20)
        return self.event(name)

    def exit_code(self, timeout: float = 60) -> int | None:
        deadline = time.monotonic() + timeout
        while self.alive and time.monotonic() < deadline:
            time.sleep(0.02)
        return self.returncode

    def signal(self, number: int) -> None:
        os.kill(self.pid, number)


Start = Callable[..., Service]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    started: list[Service] = []

    def begin(body: str, **env: str) -> Service:
        script = tmp_path / f"service{len(started)}.py"
        script.write_text(textwrap.dedent(HEAD) + textwrap.dedent(body) + "\nrun(build)\n")
        clean = {name: "" for name in os.environ if name.startswith("BMASE_")}
        service = Service(
            [sys.executable, script], tmp_path / "log", env={**clean, "PYTHONPATH": str(ROOT), **env}, cwd=tmp_path
        )
        started.append(service)
        service.start()
        return service

    yield begin
    for service in started:
        service.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_in_reverse_order_with_success(number: int, start: Start) -> None:
    service = start(ECHO)
    service.until("app.started")
    service.signal(number)
    assert service.exit_code() == 0, service.tail()
    events = [event["event"] for event in service.events()]
    order = ["app.stopping", "last built, first down", "server.draining", "server.stopped", "first built, last down"]
    assert [event for event in events if event in order] == order
    assert events[-1] == "app.stopped"


async def test_a_call_in_flight_survives_the_signal(start: Start) -> None:
    service = start(ECHO)
    address = (await asyncio.to_thread(service.until, "server.started"))["address"]
    async with grpc.aio.insecure_channel(address) as channel:
        call = asyncio.create_task(EchoStub(channel).say("sleep:1"))
        await asyncio.sleep(0.3)
        service.signal(signal.SIGTERM)
        assert await call == "echo:sleep:1"
    assert await asyncio.to_thread(service.exit_code) == 0


async def test_a_second_signal_does_not_wait_for_the_drain(start: Start) -> None:
    service = start(ECHO, BMASE_DRAIN_SECONDS="60")
    address = (await asyncio.to_thread(service.until, "server.started"))["address"]
    async with grpc.aio.insecure_channel(address) as channel:
        call = EchoStub(channel).unary_unary(StringValue(value="sleep:50"), timeout=50)
        await asyncio.sleep(0.3)
        service.signal(signal.SIGTERM)
        await asyncio.to_thread(service.until, "server.draining")
        service.signal(signal.SIGTERM)
        assert await asyncio.to_thread(service.exit_code, 5) == 130, service.tail()
        call.cancel()


def test_a_signal_during_a_long_start_ends_it(start: Start) -> None:
    service = start("""
        async def build(stack):
            stack.push_async_callback(said, "taken down")
            await said("starting")
            await asyncio.sleep(60)
    """)
    service.until("starting")
    service.signal(signal.SIGTERM)
    assert service.exit_code(5) == 0
    assert "taken down" in [event["event"] for event in service.events()]


@pytest.mark.parametrize(
    ("env", "words"),
    [
        ({"BMASE_SHOP_LISTEN": "0.0.0.0:0"}, "cannot start: listen=0.0.0.0:0 is reachable from other machines"),
        ({"BMASE_LOG_LEVEL": "loud"}, "cannot start: log_level: Input should be 'debug', 'info', 'warning' or 'error'"),
        ({"BMASE_CONFIG": "/nowhere"}, "cannot start: BMASE_CONFIG=/nowhere cannot be read"),
        ({"BMASE_METRICS_LISTEN": "127.0.0.1:{port}"}, "metrics_listen=127.0.0.1:{port}: Address already in use"),
        ({"BMASE_LISTEN": "127.0.0.1:{port}"}, "cannot listen on 127.0.0.1:{port}"),
    ],
)
def test_what_keeps_it_from_starting_is_one_readable_line(env: dict[str, str], words: str, start: Start) -> None:
    port = start(ECHO).until("telemetry.started")["metrics_port"]
    service = start(ECHO, **{name: value.format(port=port) for name, value in env.items()})
    assert service.exit_code() == 1
    (line,) = [line for line in service.tail().splitlines() if line.startswith("cannot start: ")]
    assert words.format(port=port) in line
    assert "Traceback" not in line


def test_a_defect_at_the_start_is_shown_whole(start: Start) -> None:
    service = start("async def build(stack):\n    {}['nothing']\n")
    assert service.exit_code() == 1
    assert "KeyError" in service.event("app.crashed")["exception"]


def test_a_part_that_dies_takes_the_process_down(start: Start) -> None:
    service = start("""
        async def work():
            await asyncio.sleep(0.2)
            raise RuntimeError("out of order")

        async def build(stack):
            supervise(stack, work(), "worker")
            stack.push_async_callback(said, "taken down")
    """)
    assert service.exit_code() == 1
    died = service.event("app.task_died")
    assert died["task"] == "worker"
    assert "out of order" in died["exception"]
    assert service.event("taken down")


def test_a_part_that_ends_is_no_failure(start: Start) -> None:
    service = start("""
        async def build(stack):
            supervise(stack, said("work is done"), "worker")
            supervise(stack, asyncio.sleep(60), "sleeper")
    """)
    service.until("work is done")
    time.sleep(0.2)
    assert service.alive
    service.signal(signal.SIGTERM)
    assert service.exit_code() == 0


async def test_metrics_are_served(start: Start) -> None:
    service = start(ECHO)
    port = (await asyncio.to_thread(service.until, "telemetry.started"))["metrics_port"]
    address = (await asyncio.to_thread(service.until, "server.started"))["address"]
    async with grpc.aio.insecure_channel(address) as channel:
        await EchoStub(channel).say("hello")
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as response:
        text = response.read().decode()
    assert re.search(r'bmase_grpc_requests_total\{grpc_code="OK",.*grpc_method="UnaryUnary".*\} 1\.0', text)
    assert "process_resident_memory_bytes" in text
