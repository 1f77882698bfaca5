"""What Prometheus learns of the trainer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from services.trainer.loop import Loop


class TrainerMetrics(Collector):
    """Read when Prometheus asks, in a thread of its own: from what the loop saw last."""

    def __init__(self, registry: CollectorRegistry, loop: Loop) -> None:
        self._loop = loop
        registry.register(self)

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Leadership, jobs by state, and why jobs wait."""
        yield GaugeMetricFamily("bmase_trainer_leading", "This instance leads", float(self._loop.leading))
        jobs = GaugeMetricFamily("bmase_trainer_jobs", "Jobs that have not ended", labels=["state"])
        for phase, count in sorted(self._loop.phases.items()):
            jobs.add_metric([phase], count)
        yield jobs
        waits = GaugeMetricFamily("bmase_trainer_waiting_jobs", "Jobs that wait, by reason", labels=["reason"])
        for why, count in sorted(Counter(wait.why.value for wait in list(self._loop.waits.values())).items()):
            waits.add_metric([why], count)
        yield waits
