from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from services.kit.consul import Consul
from tests.integration.patcher.bench import NodeBench
from tests.integration.patcher.bytes_registry import BytesRegistry, ServedRegistry
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


@pytest.fixture
async def node(
    tmp_path: Path, consul: Consul, consul_server: ConsulServer, registry: BytesRegistry
) -> AsyncIterator[NodeBench]:
    registry.pause, registry.break_after = 0.0, -1
    bench = NodeBench(tmp_path, consul, consul_server.url)
    try:
        await consul.kv.delete(f"bmase/nodes/{bench.name}/info")
        await bench.desire()
        yield await bench.start()
    finally:
        await bench.stop()
