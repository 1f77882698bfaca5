"""What Prometheus learns of the patcher."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from services.patcher.claim import Claim
from services.patcher.loop import Loop
from services.patcher.view import View


class PatcherMetrics(Collector):
    """Read when Prometheus asks, in a thread of its own: from what was last seen, which nothing here may change."""

    def __init__(self, registry: CollectorRegistry, loop: Loop, view: View, claim: Claim) -> None:
        self._loop = loop
        self._view = view
        self._claim = claim
        registry.register(self)

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Leadership, nodes, and models on nodes by state."""
        yield GaugeMetricFamily("bmase_patcher_leading", "This instance leads", float(self._loop.leading))
        foreign = float(bool(self._claim.foreign))
        yield GaugeMetricFamily("bmase_patcher_foreign_database", "It does not lead: Consul knows another one", foreign)
        seen = self._view.last
        if seen is None:
            return
        nodes = GaugeMetricFamily("bmase_patcher_nodes", "Serving nodes", labels=["state"])
        nodes.add_metric(["alive"], sum(view.alive for view in seen.nodes.values()))
        nodes.add_metric(["silent"], sum(not view.alive for view in seen.nodes.values()))
        yield nodes
        states: dict[str, int] = {}
        for status in seen.statuses.values():
            states[status.state.value] = states.get(status.state.value, 0) + 1
        placed = GaugeMetricFamily("bmase_patcher_placements", "Models on nodes", labels=["state"])
        for state, count in sorted(states.items()):
            placed.add_metric([state], count)
        yield placed
