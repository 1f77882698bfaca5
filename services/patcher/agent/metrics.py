"""What Prometheus learns of an agent."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from services.patcher.agent.decide import is_ready
from services.patcher.agent.monitor import Monitor
from services.patcher.agent.node import Node


class NodeMetrics(Collector):
    """Read from the node when Prometheus asks, so that nothing has to be kept in step."""

    def __init__(self, registry: CollectorRegistry, monitor: Monitor, node: Node) -> None:
        self._monitor = monitor
        self._node = node
        registry.register(self)

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Triton's state and the number of models by state."""
        view, slots = self._monitor.view, dict(self._node.slots)
        yield GaugeMetricFamily("bmase_agent_triton_up", "Triton answers", float(view.up))
        yield GaugeMetricFamily("bmase_agent_triton_usable", "Triton computes right", float(view.usable))
        yield GaugeMetricFamily("bmase_agent_triton_lives", "Starts of Triton seen by this agent", float(view.life))
        models = GaugeMetricFamily("bmase_agent_models", "Models of the node", labels=["state"])
        ready = sum(is_ready(model, slot, view) for model, slot in slots.items())
        failed = sum(slot.failure is not None for slot in slots.values())
        models.add_metric(["ready"], ready)
        models.add_metric(["failed"], failed)
        models.add_metric(["wanted"], sum(slot.wanted is not None for slot in slots.values()))
        yield models
