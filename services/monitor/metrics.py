"""What Prometheus learns of the monitor and of what it judges."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from services.monitor.collector import Health
from services.monitor.comparison import Comparison
from services.monitor.comparisons import Comparisons
from services.monitor.judge.evidence import Verdict
from services.monitor.keeping import Keeper

VERDICTS = {Verdict.ROLLBACK: -1, Verdict.HOLD: 0, Verdict.PROMOTE: 1}


class MonitorMetrics(Collector):
    """Read when Prometheus asks; an instance that does not lead shows only that."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._shown: tuple[Comparisons, Health, Keeper] | None = None
        registry.register(self)

    def leads(self, comparisons: Comparisons, health: Health, keeper: Keeper) -> None:
        """From now on these are shown."""
        self._shown = comparisons, health, keeper

    def leads_no_more(self) -> None:
        self._shown = None

    def collect(self) -> Iterator[Metric]:
        """For prometheus_client."""
        shown = self._shown
        yield GaugeMetricFamily("bmase_monitor_leading", "This instance leads.", float(shown is not None))
        if shown is None:
            return
        comparisons, health, keeper = shown
        yield from _reading(health)
        yield from _working(comparisons, keeper)
        yield from _judging(list(comparisons.running().values()))


def _reading(health: Health) -> Iterator[Metric]:
    yield GaugeMetricFamily("bmase_monitor_scrape_seconds", "Last look at all gateways.", health.seconds)
    yield GaugeMetricFamily("bmase_monitor_gateways_silent", "Gateways that do not answer.", len(health.silent))
    yield CounterMetricFamily("bmase_monitor_counter_resets", "Gateways that began anew.", health.resets)
    failures = CounterMetricFamily("bmase_monitor_scrape_failures", "Looks without an answer.", labels=["gateway"])
    for gateway, count in sorted(health.failures.items()):
        failures.add_metric([gateway], count)
    yield failures


def _working(found: Comparisons, keeper: Keeper) -> Iterator[Metric]:
    events = CounterMetricFamily("bmase_monitor_bad_events", "Bad requests that gateways told of.", labels=["what"])
    events.add_metric(["judged"], found.received.judged)
    events.add_metric(["ignored"], found.received.ignored)
    yield events
    yield GaugeMetricFamily("bmase_monitor_save_seconds", "Last time that evidence was kept.", keeper.seconds)
    yield GaugeMetricFamily("bmase_monitor_unsaved_looks", "Looks whose results are in memory only.", keeper.unsaved)


def _judging(running: list[Comparison]) -> Iterator[Metric]:
    """One row a running comparison; its model names it, as there is one a model."""
    model = ["model"]
    time = GaugeMetricFamily("bmase_comparison_evidence_timestamp_seconds", "Time of what was seen.", labels=model)
    verdict = GaugeMetricFamily("bmase_comparison_verdict", "-1 roll back, 0 hold, 1 promote.", labels=model)
    share = GaugeMetricFamily("bmase_comparison_share", "Of the candidate.", labels=["model", "what"])
    evidence = GaugeMetricFamily(
        "bmase_comparison_evidence", "E-value against the candidate.", labels=["model", "kind"]
    )
    limit = GaugeMetricFamily("bmase_comparison_limit", "E-value that rolls back.", labels=["model", "kind"])
    requests = GaugeMetricFamily("bmase_comparison_requests", "By weight, since it began.", labels=["model", "side"])
    bad = GaugeMetricFamily("bmase_comparison_bad", "Of those.", labels=["model", "side", "kind"])
    apart = GaugeMetricFamily("bmase_comparison_set_apart", "Kept out of the evidence.", labels=["model", "what"])
    for comparison in running:
        name, said = comparison.model, comparison.evidence
        time.add_metric([name], said.time)
        verdict.add_metric([name], VERDICTS[said.verdict])
        share.add_metric([name, "declared"], said.declared_share)
        share.add_metric([name, "realised"], said.realised_share)
        for suspicion in said.suspicions:
            evidence.add_metric([name, suspicion.kind], suspicion.evidence)
            limit.add_metric([name, suspicion.kind], suspicion.limit)
        for side, arm in (("stable", said.stable), ("candidate", said.candidate)):
            requests.add_metric([name, side], arm.requests)
            for kind, count in (("errors", arm.errors), ("slow", arm.slow), ("outcomes", arm.wrong)):
                bad.add_metric([name, side, kind], count)
        for what, count in (("infra", said.infra_events), ("lost", said.lost_events), ("skipped", comparison.skipped)):
            apart.add_metric([name, what], count)
    yield from (time, verdict, share, evidence, limit, requests, bad, apart)
