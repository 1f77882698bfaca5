"""A monitor that only writes down what gateways show it: the real intake in a process of its own, found by Consul.

As a program (`python -m tests.support.intake FILE PAUSE`) it adds a JSON line to FILE for everything that arrives, and
stands still for PAUSE seconds after each pair.
"""

from __future__ import annotations

import base64
import functools
import json
import sys
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pydantic_settings import SettingsConfigDict

from infra.runtime.layout import CHECKOUT
from services.kit import telemetry
from services.kit.app import run
from services.kit.config import ServiceSettings
from services.kit.consul import Consul as ConsulClient
from services.kit.server import GrpcServer
from services.monitor.intake import logs
from services.monitor.intake.events import BadEvent
from services.monitor.intake.pairs import Pair
from tests.support.consul import Consul
from tests.support.ports import free_port
from tests.support.process import Process


class Intake:
    """The program; `start` again after `stop` or `kill` at the same address. What it wrote down stays."""

    def __init__(
        self,
        folder: Path,
        consul: Consul,
        pause: float = 0.0,
        settings: Mapping[str, object] | None = None,
    ) -> None:
        self.port = free_port()
        self.file = folder / "intake.jsonl"
        own = {"listen": f"127.0.0.1:{self.port}", "instance": "intake", "drain_seconds": 1, **(settings or {})}
        env = {f"BMASE_MONITOR_{key.upper()}": str(value) for key, value in own.items()}
        env["BMASE_CONSUL_URL"] = consul.url
        command = [sys.executable, "-m", "tests.support.intake", self.file, str(pause)]
        self.process = Process(command, folder / "intake.log", name="intake", env=env, cwd=CHECKOUT)

    def start(self) -> Intake:
        self.process.start().wait_port(self.port)
        return self

    def close(self) -> None:
        """In good order: the gateway is to find none from now on."""
        self.process.stop()

    def arrived(self) -> list[dict[str, Any]]:
        """Everything, in the order of arrival."""
        if not self.file.exists():
            return []
        return [json.loads(line) for line in self.file.read_text("utf-8").splitlines(keepends=True) if line[-1] == "\n"]

    def events(self) -> list[BadEvent]:
        return [BadEvent(**item["event"]) for item in self.arrived() if "event" in item]

    def pairs(self) -> list[Pair]:
        return [_pair(item["pair"]) for item in self.arrived() if "pair" in item]

    def forget(self) -> None:
        """From now on only what comes later is told."""
        self.file.write_bytes(b"")


def _pair(told: dict[str, Any]) -> Pair:
    bodies = {name: base64.b64decode(told[name]) for name in ("request", "response")}
    return Pair(**{**told, **bodies})


class IntakeSettings(ServiceSettings):
    """As the monitor's own."""

    model_config = SettingsConfigDict(env_prefix="BMASE_MONITOR_")


async def build(file: Path, pause: float, stack: AsyncExitStack) -> None:
    settings = IntakeSettings()
    observed = stack.enter_context(telemetry.start(settings))
    consul = await stack.enter_async_context(ConsulClient.of(settings))
    out = stack.enter_context(file.open("a", encoding="utf-8", buffering=1))

    def tell(kind: str, content: dict[str, Any]) -> None:
        out.write(json.dumps({kind: content}) + "\n")

    def on_event(event: BadEvent) -> None:
        tell("event", asdict(event))

    def on_pair(pair: Pair) -> None:
        bodies = {name: base64.b64encode(getattr(pair, name)).decode() for name in ("request", "response")}
        tell("pair", asdict(pair) | bodies)
        time.sleep(pause)

    registrations = [logs.registration(logs.LogsServicer(on_event, on_pair, lambda model: None))]
    await stack.enter_async_context(GrpcServer(settings, "monitor", registrations, telemetry=observed, consul=consul))


if __name__ == "__main__":
    run(functools.partial(build, Path(sys.argv[1]), float(sys.argv[2])))
