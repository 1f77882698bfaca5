"""What is followed in Consul, and given back to it after it lost everything."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import structlog

from services.gateway.control import Control
from services.gateway.documents import NodeDocument, node_key
from services.gateway.envoy.snapshot import Endpoint
from services.gateway.world import World
from services.kit.consul import Consul
from services.kit.consul.documents import CAPTURES, PLACEMENTS, ROUTES, read
from services.kit.errors import DomainError

log = structlog.get_logger(__name__)

# A listing is read whole, so reading takes its time with the number of models: at 10,000 a pause of half a second keeps
# it from being all that this process does while weights change. What this process changes itself it knows at once.
PACE_SECONDS = 50e-6


class Watches:
    """Each method runs for ever; together they keep the world current."""

    def __init__(self, consul: Consul, world: World, control: Control) -> None:
        self._consul = consul
        self._world = world
        self._control = control
        self._nodes: dict[str, asyncio.Task[None]] = {}

    async def routes(self) -> None:
        """Our own documents. In a new life of the store they are written again, for they are ours to keep."""
        async for listing in self._consul.watch(ROUTES):
            self._world.see_routes(listing)
            self._control.changed()
            await self._give_back()
            await asyncio.sleep(len(listing.entries) * PACE_SECONDS)

    async def placements(self) -> None:
        """The patcher's documents, and with them the nodes to know about."""
        try:
            self._follow(self._world.wanted_nodes())
            async for listing in self._consul.watch(PLACEMENTS):
                self._world.see_placements(listing)
                self._follow(self._world.wanted_nodes())
                self._control.changed()
                await asyncio.sleep(len(listing.entries) * PACE_SECONDS)
        finally:
            for task in self._nodes.values():
                task.cancel()

    async def captures(self) -> None:
        """The monitor's documents."""
        async for listing in self._consul.watch(CAPTURES):
            self._world.see_captures(listing)
            self._control.changed()
            await asyncio.sleep(len(listing.entries) * PACE_SECONDS)

    async def service(self, name: str) -> None:
        """Instances of one of our services."""
        async for instances in self._consul.watch_service(name):
            self._world.see_service(name, (Endpoint(i.address, i.port) for i in instances))
            self._control.changed()

    async def _give_back(self) -> None:
        lost = self._world.routes.carried()
        for key, entry in sorted(lost.items()):
            try:
                if await self._consul.kv.cas(key, entry.value, 0):
                    log.warning("gateway.route_given_back", key=key)
            except DomainError as error:
                log.warning("gateway.route_not_given_back", key=key, error=str(error))
                return  # Consul is away again: the listing after its return starts this anew

    def _follow(self, names: Iterable[str]) -> None:
        for name in names:
            if name not in self._nodes:
                self._nodes[name] = asyncio.create_task(self._node(name), name=f"node {name}")

    async def _node(self, name: str) -> None:
        key = node_key(name)
        async for listing in self._consul.watch(key):
            entry = listing.entries.get(key)
            document = read(NodeDocument, entry.value) if entry else None
            if document is not None and document.name == name:
                self._world.see_node(document)
                self._control.changed()
