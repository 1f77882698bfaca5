from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from services.kit.consul import Consul
from tests.integration.patcher.bench import NodeBench
from tests.integration.patcher.bytes_registry import BytesRegistry, ServedRegistry
from tests.integration.patcher.platform import Gateway, Platform
from tests.support.consul import Consul as ConsulServer


@pytest.fixture(scope="module")
def consul_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ConsulServer]:
    with ConsulServer(tmp_path_factory.mktemp("consul")) as server:
        yield server


@pytest.fixture(scope="module")
async def consul(consul_server: ConsulServer) -> AsyncIterator[Consul]:
    async with Consul(consul_server.url) as consul:
        yield consul


@pytest.fixture(scope="module")
async def registry(
    consul_server: ConsulServer, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[BytesRegistry]:
    async with ServedRegistry(consul_server.url, tmp_path_factory.mktemp("registry")) as served:
        yield served


@pytest.fixture(scope="module")
async def shared_node(
    tmp_path_factory: pytest.TempPathFactory, consul: Consul, consul_server: ConsulServer, registry: BytesRegistry
) -> AsyncIterator[NodeBench]:
    bench = NodeBench(tmp_path_factory.mktemp("blue"), consul, consul_server.url)
    try:
        yield await bench.start()
    finally:
        await bench.stop()


@pytest.fixture
async def node(shared_node: NodeBench, registry: BytesRegistry) -> NodeBench:
    """A running node without models."""
    registry.pause, registry.break_after = 0.0, -1
    registry.reads.clear()
    return await shared_node.fresh()


@pytest.fixture(scope="module")
async def gateway(consul_server: ConsulServer, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Gateway]:
    async with Gateway(consul_server.url, tmp_path_factory.mktemp("gateway")) as gateway:
        yield gateway


@pytest.fixture(scope="module")
async def nodes(
    consul: Consul, consul_server: ConsulServer, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[dict[str, NodeBench]]:
    folder = tmp_path_factory.mktemp("nodes")
    benches = {name: NodeBench(folder / name, consul, consul_server.url, name=name) for name in ("blue", "green")}
    try:
        for bench in benches.values():
            await bench.start()
        yield benches
    finally:
        for bench in benches.values():
            await bench.stop()


@pytest.fixture(scope="module")
async def platform(
    consul: Consul,
    consul_server: ConsulServer,
    gateway: Gateway,
    nodes: dict[str, NodeBench],
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Platform]:
    async with Platform(tmp_path_factory.mktemp("platform"), consul_server.url, consul) as platform:
        yield platform
