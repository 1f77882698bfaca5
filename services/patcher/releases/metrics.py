"""What Prometheus learns of releases."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from services.patcher.releases.state import Move, Phase, Release

_SECONDS = (0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60)


class ReleaseMetrics(Collector):
    """Counted by the leader; other instances show zeros."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._releases: dict[Phase, int] = {}
        self._decisions = Counter(
            "bmase_patcher_release_decisions",
            "Lines of the audit trails",
            ["model", "kind", "reason"],
            registry=registry,
        )
        self._rollbacks = Histogram(
            "bmase_patcher_release_rollback_seconds",
            "From the decision to roll back until the weights were written, and until every gateway had applied them",
            ["until"],
            buckets=_SECONDS,
            registry=registry,
        )
        for until in ("written", "applied"):
            self._rollbacks.labels(until)  # from zero on: a series that begins with its first event has no increase
        registry.register(self)

    def flying(self, releases: Iterable[Release]) -> None:
        """What the leader has in hand now."""
        counts = dict.fromkeys(Phase, 0)
        for release in releases:
            counts[release.phase] += 1
        self._releases = counts

    def decided(self, move: Move) -> None:
        if move.event is not None:
            self._decisions.labels(move.release.model, move.event.kind.value, str(move.event.reason)).inc()

    def rolled_back(self, until: str, seconds: float) -> None:
        self._rollbacks.labels(until).observe(max(0.0, seconds))

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Unfinished releases by state."""
        what = "Releases that something is left to do for"
        found = GaugeMetricFamily("bmase_patcher_releases", what, labels=["state"])
        for phase in Phase:
            found.add_metric([phase.value], self._releases.get(phase, 0))
        yield found
