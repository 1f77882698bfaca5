"""Is it ready? One question a program, asked over its own port: a process that runs is not yet one that serves."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import aiohttp
import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from infra.local import observability
from infra.local.suite import Suite

ASK_SECONDS = 2.0
Probe = Callable[[], Awaitable[str]]  # what is still waited for; empty: ready


class Probes:
    """The readiness questions of one suite; use as an async context manager."""

    def __init__(self, suite: Suite) -> None:
        self._suite = suite

    async def __aenter__(self) -> Probes:
        self._http = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=ASK_SECONDS))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.close()

    def all(self) -> dict[str, Probe]:
        """The probe of each program by its name."""
        probes: dict[str, Probe] = {"consul": self._consul, "envoy": self._envoy}
        probes |= {
            "registry": self._grpc("registry"),
            "patcher": self._grpc("patcher"),
            "monitor": self._grpc("monitor"),
            "documents": self._documents,
            "gateway": self._grpc("control"),
        }
        for node in self._suite.nodes:
            probes[f"triton-{node}"] = self._triton(node)
            probes[f"agent-{node}"] = self._grpc(f"{node}_agent")
        if self._suite.trains:
            probes["trainer"] = self._grpc("trainer")
        if self._suite.observed:
            probes |= {name: self._ready(name, path) for name, path in observability.READY.items()}
        if self._suite.observed and self._suite.grafana:
            probes["grafana"] = self._ready("grafana", "/api/health")
        return probes

    async def _text(self, address: str, path: str) -> str:
        async with self._http.get(f"http://{self._suite.address(address)}{path}") as answer:
            body = await answer.text()
            return body if answer.status == 200 else f"HTTP {answer.status}: {body.strip()[:200]}"

    async def _consul(self) -> str:
        leader = await self._text("consul", "/v1/status/leader")
        return "" if leader.strip('" \n') and "HTTP" not in leader else "no leader yet"

    async def _documents(self) -> str:
        return await _accepts(self._suite.address("documents"))

    async def _envoy(self) -> str:
        state = (await self._text("envoy_admin", "/ready")).strip()
        if state != "LIVE":
            return f"Envoy says {state}"
        return await _accepts(self._suite.address("gateway"))

    def _triton(self, node: str) -> Probe:
        return self._ready(f"{node}_http", "/v2/health/ready")

    def _ready(self, address: str, path: str) -> Probe:
        """Ready when it answers 200, whatever it says."""

        async def ask() -> str:
            async with self._http.get(f"http://{self._suite.address(address)}{path}") as answer:
                return "" if answer.status == 200 else f"HTTP {answer.status}: {(await answer.text()).strip()[:200]}"

        return ask

    def _grpc(self, name: str) -> Probe:
        async def ask() -> str:
            async with grpc.aio.insecure_channel(self._suite.address(name)) as channel:
                stub = health_pb2_grpc.HealthStub(channel)
                answer = await stub.Check(health_pb2.HealthCheckRequest(), timeout=ASK_SECONDS)
            return "" if answer.status == health_pb2.HealthCheckResponse.SERVING else "it says it is not serving"

        return ask


async def _accepts(address: str) -> str:
    host, port = address.rsplit(":", 1)
    _, writer = await asyncio.open_connection(host, int(port))
    writer.close()
    await writer.wait_closed()
    return ""


async def ask(probe: Probe) -> str:
    """The probe's answer, with whatever kept it from answering turned into words."""
    try:
        return await asyncio.wait_for(probe(), ASK_SECONDS + 0.5)
    except grpc.aio.AioRpcError as error:
        return f"no answer yet ({error.code().name})"
    except TimeoutError:
        return "no answer in time"
    except (OSError, aiohttp.ClientError) as error:
        return "not listening yet" if isinstance(error, (ConnectionError, aiohttp.ClientConnectorError)) else str(error)
