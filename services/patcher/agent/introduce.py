"""The agent's side of Consul: it introduces the node, and reads what the node is to run."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from services.kit.config import split_address
from services.kit.consul import Consul, Listing, Registration, http_check
from services.kit.errors import DomainError
from services.patcher.agent.config import AgentSettings
from services.patcher.agent.orders import OrderBook, are_complete, merged
from services.patcher.documents import NodeInfo, desired_prefix, node_info

log = structlog.get_logger(__name__)

SERVICE = "bmase-node"
INTRODUCE_SECONDS = 0.5


def info_of(settings: AgentSettings) -> NodeInfo:
    """How the node introduces itself."""
    return NodeInfo(
        name=settings.node,
        pool=settings.pool,
        grpc=settings.triton_grpc,
        http=settings.triton_http,
        metrics=settings.triton_metrics,
        capacity_bytes=settings.memory_capacity_bytes,
        backends=settings.backends,
    )


def registration(consul: Consul, settings: AgentSettings, own_metrics: str = "") -> Registration:
    """The node's Triton as a service, checked by Consul: where Prometheus finds nodes, and the agent's own metrics."""
    info = info_of(settings)
    host, port = split_address(info.grpc)
    meta = {
        "node": info.name,
        "pool": info.pool,
        "http": info.http,
        "metrics": info.metrics,
        "agent_metrics": own_metrics,
    }
    check = http_check(f"http://{info.http}/v2/health/live") if info.http else None
    return Registration(consul, SERVICE, f"{SERVICE}-{info.name}", host, port, meta, (), check)


class Reader:
    """Follows the node's orders; what Consul does not say, the last copy says."""

    def __init__(self, consul: Consul, settings: AgentSettings, book: OrderBook, changed: Callable[[], None]) -> None:
        self._consul = consul
        self._info = info_of(settings)
        self._prefix = desired_prefix(settings.node)
        self._book = book
        self._changed = changed
        self._epoch = ""

    async def run(self) -> None:
        """Until cancelled."""
        async for listing in self._consul.watch(self._prefix):
            self._epoch = listing.epoch
            self._take(listing)

    async def introduce(self) -> None:
        """Until cancelled: says who the node is in every life of the store."""
        introduced = ""
        while True:
            epoch = self._epoch
            if epoch != introduced and await self._introduce():
                introduced = epoch
            await asyncio.sleep(INTRODUCE_SECONDS)

    async def _introduce(self) -> bool:
        try:
            await self._consul.kv.put(node_info(self._info.name), self._info.encode())
        except DomainError as error:
            log.warning("node_not_introduced", error=error.message)
            return False
        return True

    def _take(self, listing: Listing) -> None:
        entries = {key.removeprefix(self._prefix): entry.value for key, entry in listing.entries.items()}
        orders = merged(self._book.orders, listing.epoch, entries)
        if self._book.take(orders, are_complete(listing.epoch, entries)):
            log.info("orders", models={m: d.version for m, d in self._book.orders.models.items()})
            self._changed()
