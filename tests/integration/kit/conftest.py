"""The real servers that the kit stands on, one of each a module."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from services.kit.consul import Consul
from tests.support.consul import Consul as ConsulServer


@pytest.fixture(scope="module")
def shared_consul(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ConsulServer]:
    with ConsulServer(tmp_path_factory.mktemp("consul")) as server:
        yield server


@pytest.fixture
def consul_server(shared_consul: ConsulServer) -> Iterator[ConsulServer]:
    """Running at the start of every test, whatever the test before did to it."""
    if not shared_consul.process.alive:
        shared_consul.start()
    yield shared_consul
    if shared_consul.process.alive:
        shared_consul.process.resume()


@pytest.fixture
async def consul(consul_server: ConsulServer) -> AsyncIterator[Consul]:
    async with Consul(consul_server.url) as client:
        yield client
