"""What the registry shows of itself beside what the server counts for every call."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from services.registry.uploads import Uploads


class RegistryMetrics(Collector):
    """`bmase_registry_uploads` and `bmase_registry_received_bytes_total`, read when they are asked for."""

    def __init__(self, registry: CollectorRegistry, uploads: Uploads) -> None:
        self._uploads = uploads
        registry.register(self)

    def collect(self) -> Iterator[Metric]:
        """For prometheus_client."""
        yield GaugeMetricFamily("bmase_registry_uploads", "Uploads being written now.", self._uploads.running)
        yield CounterMetricFamily(
            "bmase_registry_received_bytes", "Bytes of artefacts received.", self._uploads.received_bytes
        )
