"""What Prometheus learns of pipelines and schedules."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from prometheus_client import CollectorRegistry, Counter
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from services.trainer.pipelines.state import FINAL, STAGES, Phase, Pipeline
from services.trainer.schedules.state import Fire, Outcome


class PipelineMetrics(Collector):
    """Counted by the leader; other instances show zeros."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._stages: dict[Phase, int] = {}
        self._ended = Counter("bmase_trainer_pipelines_ended", "Pipelines that ended", ["state"], registry=registry)
        self._fires = Counter(
            "bmase_trainer_schedule_fires", "Occasions of schedules, by what became of them", ["outcome"],
            registry=registry,
        )  # fmt: skip
        # From zero on: a series that begins with its first event has no increase.
        for phase in sorted(FINAL):
            self._ended.labels(phase.value)
        for outcome in Outcome:
            self._fires.labels(outcome.value)
        registry.register(self)

    def running(self, pipelines: Iterable[Pipeline]) -> None:
        """What the leader has in hand now."""
        counts = dict.fromkeys(STAGES, 0)
        for pipeline in pipelines:
            counts[pipeline.phase] += 1
        self._stages = counts

    def ended(self, pipeline: Pipeline) -> None:
        self._ended.labels(pipeline.phase.value).inc()

    def fired(self, fires: Iterable[Fire]) -> None:
        for fire in fires:
            self._fires.labels(fire.outcome.value).inc()

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Unfinished pipelines by stage."""
        found = GaugeMetricFamily("bmase_trainer_pipelines", "Pipelines that have not ended", labels=["state"])
        for phase in STAGES:
            found.add_metric([phase.value], self._stages.get(phase, 0))
        yield found
