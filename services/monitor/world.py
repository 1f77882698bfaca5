"""What Consul says about the models that are compared: weights, placements, nodes, gateways."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection

import structlog

from services.kit.consul import Consul, Entry
from services.kit.consul.documents import NODES, PLACEMENTS, ROUTES, read
from services.monitor.documents import NodeStatus, Placements, RouteDocument
from services.monitor.following import Following
from services.monitor.gateways import Gateways
from services.monitor.infra_events import Disturbance, Nodes
from services.monitor.weights import ModelWeights

log = structlog.get_logger(__name__)


class World:
    """Follows what belongs to the given models, and tells of disturbances."""

    def __init__(self, consul: Consul) -> None:
        self._following = Following(consul, self._seen)
        self.on_disturbance: Callable[[Disturbance], None] = lambda what: None
        self._weights: dict[str, ModelWeights] = {}
        self._nodes = Nodes()
        self.gateways = Gateways(consul, self._reported)

    async def run(self) -> None:
        """Follows for ever."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.gateways.run())
            tasks.create_task(self._following.run())

    def follow(self, models: Collection[str]) -> None:
        """From now on exactly these models."""
        for model in self._weights.keys() - set(models):
            del self._weights[model]
        for model in set(models) - self._weights.keys():
            self._weights[model] = ModelWeights()
            self._weights[model].see_reports(self.gateways.reports, time.time())
        self._want()

    def weights(self, model: str) -> ModelWeights:
        """The model's history; an empty one when it is not followed."""
        return self._weights.get(model) or ModelWeights()

    def _want(self) -> None:
        statuses = {
            f"{NODES}{node}/status/{model}"
            for model, weights in self._weights.items()
            for nodes in weights.nodes.values()
            for node in nodes
        }
        # A node that left the placements is followed on as long as its model is: that it was lost may be why it left.
        statuses |= {key for key in self._nodes.ready if key.rsplit("/", 1)[1] in self._weights}
        self._nodes.forget_all_but(statuses)
        routes = {prefix + model for model in self._weights for prefix in (ROUTES, PLACEMENTS)}
        self._following.want(routes | statuses)

    def _seen(self, key: str, entry: Entry | None, epoch: str) -> None:
        now = time.time()
        if key.startswith(NODES):
            status = read(NodeStatus, entry.value) if entry else None
            lost = self._nodes.see(key, status, epoch, now)
            if lost is not None and not self.weights(lost.model).moved(lost.version, key.split("/")[2], now):
                log.warning("monitor.node_lost", key=key, message=lost.message)
                self.on_disturbance(lost)
            return
        weights = self._weights.get(key.rsplit("/", 1)[1])
        if weights is not None:
            self._moved(weights, key, entry, epoch, now)

    def _moved(self, weights: ModelWeights, key: str, entry: Entry | None, epoch: str, now: float) -> None:
        index = entry.modify_index if entry else 0
        if key.startswith(ROUTES):
            route = read(RouteDocument, entry.value) if entry else None
            if _readable(key, entry, route):
                weights.see_route(route, index, epoch, now)
        else:
            placements = read(Placements, entry.value) if entry else None
            if _readable(key, entry, placements):
                weights.see_placements(placements, index, epoch, now)
                self._want()

    def _reported(self) -> None:
        for weights in self._weights.values():
            weights.see_reports(self.gateways.reports, time.time())


def _readable(key: str, entry: Entry | None, document: object | None) -> bool:
    """What nobody can read changes nothing."""
    if entry is not None and document is None:
        log.error("monitor.document_unreadable", key=key)
        return False
    return True
