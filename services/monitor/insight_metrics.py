"""What is shown of samples and outcomes beside what the server counts for every call."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from services.monitor.alerts import Alerts
from services.monitor.outcomes import Outcomes
from services.monitor.samples.looking import Looking
from services.monitor.samples.writer import Writer


class InsightMetrics(Collector):
    """`bmase_monitor_samples_...`, `..._outcomes_...` and `..._alerts`, read when they are asked for."""

    def __init__(self, looking: Looking, writer: Writer, outcomes: Outcomes, alerts: Alerts) -> None:
        self._looking, self._writer, self._outcomes, self._alerts = looking, writer, outcomes, alerts

    def collect(self) -> Iterator[Metric]:
        """For prometheus_client."""
        yield self._samples()
        yield self._counted()
        yield GaugeMetricFamily("bmase_monitor_pairs_queued", "Pairs not decoded yet.", self._looking.queued)
        for name, text, value in self._writer.describe():
            yield GaugeMetricFamily(f"bmase_monitor_{name}", text, value)
        waiting = "Reported outcomes whose request was not seen (yet)."
        yield GaugeMetricFamily("bmase_monitor_outcomes_waiting", waiting, self._outcomes.waiting)
        yield GaugeMetricFamily("bmase_monitor_alerts_unresolved", "All of them.", self._alerts.open_count())
        yield self._open()

    def _samples(self) -> Metric:
        text = "Sampled requests by what became of them: sampled, and of these dropped or refused as unreadable."
        made = CounterMetricFamily("bmase_monitor_samples", text, labels=("model", "what"))
        dropped = self._looking.dropped + self._writer.dropped
        for what, counts in (
            ("sampled", self._looking.sampled),
            ("dropped", dropped),
            ("refused", self._looking.refused),
        ):
            for model, count in list(counts.items()):
                made.add_metric((model, what), count)
        return made

    def _open(self) -> Metric:
        """One row a version and kind that something is wrong with; none when all is well."""
        text = "Alerts that are open or acknowledged."
        made = GaugeMetricFamily("bmase_monitor_alerts", text, labels=("model", "version", "kind", "state"))
        rows = Counter((a.model, str(a.version), a.kind, a.state.lower()) for a in self._alerts.unresolved())
        for row, count in sorted(rows.items()):
            made.add_metric(row, count)
        return made

    def _counted(self) -> Metric:
        text = "Outcomes that met their request."
        made = CounterMetricFamily("bmase_monitor_outcomes", text, labels=("model", "version", "wrong"))
        for (model, version, wrong), count in list(self._outcomes.accuracy.totals.items()):
            made.add_metric((model, str(version), str(wrong).lower()), count)
        return made
