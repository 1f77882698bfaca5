"""Consul, one a module; it runs at the start of every test."""

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
def consul_server(shared_consul: ConsulServer) -> ConsulServer:
    """Without data, whatever the test before did."""
    return shared_consul.wipe()


@pytest.fixture
async def consul(consul_server: ConsulServer) -> AsyncIterator[Consul]:
    async with Consul(consul_server.url) as client:
        yield client
