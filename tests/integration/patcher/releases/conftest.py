from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.integration.patcher.bench import NodeBench
from tests.integration.patcher.platform import Platform
from tests.integration.patcher.releases.flight import Flight
from tests.integration.patcher.releases.stage import LockedGateway, ScriptedMonitor
from tests.support.consul import Consul as ConsulServer


@pytest.fixture(scope="module")
async def gateway(
    consul_server: ConsulServer, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[LockedGateway]:
    """In place of the one that knows no weights."""
    async with LockedGateway(consul_server.url, tmp_path_factory.mktemp("gateway")) as gateway:
        yield gateway


@pytest.fixture(scope="module")
async def monitor(
    consul_server: ConsulServer, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[ScriptedMonitor]:
    async with ScriptedMonitor(consul_server.url, tmp_path_factory.mktemp("monitor")) as monitor:
        yield monitor


@pytest.fixture
async def flight(
    platform: Platform, gateway: LockedGateway, monitor: ScriptedMonitor, nodes: dict[str, NodeBench]
) -> AsyncIterator[Flight]:
    """Everything runs, nothing is deployed, and the peers do as they are told by nobody."""
    gateway.deaf, gateway.before = False, None
    monitor.replays.Clear()
    monitor.replay_seconds = 0.0
    for node in nodes.values():
        node.triton.process.resume()
        if not node.agent.alive:
            node.agent.start()
    if not platform.patcher.alive:
        platform.patcher.start()
    platform.patcher.resume()
    await platform.reachable()
    async with Flight(platform, gateway, monitor) as flight:
        yield flight
        await flight.land()
