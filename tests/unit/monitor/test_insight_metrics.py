"""What Prometheus sees of alerts."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from prometheus_client import CollectorRegistry

from services.monitor.alerts import Alerts, Finding, Scope
from services.monitor.insight_metrics import InsightMetrics


def _registry(alerts: Alerts) -> CollectorRegistry:
    looking: Any = SimpleNamespace(sampled={}, dropped=Counter(), refused={}, queued=0)
    writer: Any = SimpleNamespace(dropped=Counter(), describe=lambda: ())
    outcomes: Any = SimpleNamespace(waiting=0, accuracy=SimpleNamespace(totals={}))
    registry = CollectorRegistry()
    registry.register(InsightMetrics(looking, writer, outcomes, alerts))
    return registry


def test_alerts_are_counted_by_version_kind_and_state_until_they_are_resolved(tmp_path: Path) -> None:
    alerts = Alerts(tmp_path)
    alerts.apply({Scope("digits", 3, "drift"): [Finding(f, "moved", 0.6) for f in ("input/a", "input/b")]}, 10.0)
    registry = _registry(alerts)

    def seen(state: str) -> float | None:
        labels = {"model": "digits", "version": "3", "kind": "drift", "state": state}
        return registry.get_sample_value("bmase_monitor_alerts", labels)

    assert (seen("open"), seen("acknowledged")) == (2, None)
    alerts.acknowledge("alerts/1", "ann", 11.0)
    assert (seen("open"), seen("acknowledged")) == (1, 1)
    alerts.resolve("alerts/1", 12.0)
    alerts.resolve("alerts/2", 12.0)
    assert (seen("open"), seen("acknowledged")) == (None, None)
    assert registry.get_sample_value("bmase_monitor_alerts_unresolved") == 0
