"""Composition root of the monitor: one leader serves, the others wait for its place.

Only the leader is registered in Consul, so gateways and the patcher reach it alone. An instance that loses the lead
takes its work down in good order and contends again; what it kept on disk is where it goes on.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import replace

from bmase.monitor.v1 import evidence_pb2
from prometheus_client import CollectorRegistry

from services.kit import app, telemetry
from services.kit.consul import Consul
from services.kit.leader import Leadership
from services.kit.server import GrpcServer
from services.kit.telemetry import Telemetry
from services.monitor import insight_build, service
from services.monitor.captures import Captures
from services.monitor.collector import Collector
from services.monitor.comparisons import Comparisons
from services.monitor.config import MonitorSettings
from services.monitor.encode import arm_message
from services.monitor.intake import logs as intake_logs
from services.monitor.intake.logs import LogsServicer
from services.monitor.keeping import Keeper
from services.monitor.metrics import MonitorMetrics
from services.monitor.scrape import Scraper
from services.monitor.service import MonitorServicer
from services.monitor.world import World

NAME = "monitor"


async def build(stack: AsyncExitStack) -> None:
    """Everything of one instance. It needs nothing to start, and does nothing until it leads."""
    settings = MonitorSettings()
    told = stack.enter_context(telemetry.start(settings))
    consul = await stack.enter_async_context(Consul.of(settings))
    instance = Instance(settings, told, consul)
    app.supervise(stack, instance.run(), "lead")


class Instance:
    """One process among equals."""

    def __init__(self, settings: MonitorSettings, told: Telemetry, consul: Consul) -> None:
        self._settings = settings
        self._told = told
        self._consul = consul
        self._metrics = MonitorMetrics(told.registry)

    async def run(self) -> None:
        """Leads whenever it is its turn, until cancelled."""
        async with Leadership(self._consul, NAME) as leadership:
            async for lease in leadership:
                await lease.run(self._lead())

    async def _lead(self) -> None:
        """Works until cancelled; taken down in reverse, the server first."""
        async with AsyncExitStack() as stack:
            await self._serve(stack, self._telemetry(stack))
            await asyncio.Event().wait()

    def _telemetry(self, stack: AsyncExitStack) -> Telemetry:
        """Metrics of this time of leading only: names may be registered once, and a process may lead many times."""
        registry = CollectorRegistry()
        self._told.registry.register(registry)  # type: ignore[arg-type]  # it collects, which is all that is needed
        stack.callback(self._told.registry.unregister, registry)
        return replace(self._told, registry=registry)

    async def _serve(self, stack: AsyncExitStack, told: Telemetry) -> None:
        settings = self._settings
        captures = Captures(settings.data_dir / "captures.json", self._consul, insight_build.defaults(settings))
        comparisons = await self._judging(stack, captures)

        async def traffic(model: str, version: int) -> evidence_pb2.Arm:
            return arm_message(await comparisons.traffic(model, version))

        insight = await insight_build.build(
            stack,
            settings,
            self._consul,
            captures,
            told.registry,
            on_outcome=comparisons.outcome,
            traffic=traffic,
        )
        app.supervise(stack, insight.run(), "insight")
        registrations = [
            service.registration(MonitorServicer(comparisons, insight)),
            intake_logs.registration(LogsServicer(comparisons.bad, insight.pair, insight.lost)),
        ]
        await stack.enter_async_context(GrpcServer(settings, NAME, registrations, telemetry=told, consul=self._consul))

    async def _judging(self, stack: AsyncExitStack, captures: Captures) -> Comparisons:
        """Goes on with what was kept; gateways are told what to report before anybody else tells them anything."""
        settings = self._settings
        scraper = await stack.enter_async_context(Scraper(settings.scrape_timeout))
        world = World(self._consul)
        collector = Collector(scraper, world.gateways)
        keeper = Keeper(settings.data_dir)
        comparisons = Comparisons(
            collector, world, captures, keeper, period=settings.scrape_seconds, kept=settings.comparisons_kept
        )
        world.on_disturbance = comparisons.disturbed
        comparisons.restore()
        await comparisons.tell()
        stack.push_async_callback(comparisons.save)
        app.supervise(stack, world.run(), "world")
        app.supervise(stack, comparisons.run(), "comparisons")
        self._metrics.leads(comparisons, collector.health, keeper)
        stack.callback(self._metrics.leads_no_more)
        return comparisons


def main() -> None:
    app.run(build)
