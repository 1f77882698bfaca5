"""Makes Insight from settings: the only place that knows all its parts."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AsyncExitStack
from functools import partial

from prometheus_client import CollectorRegistry

from services.kit.consul import Consul
from services.monitor.alerts import Alerts, Webhook
from services.monitor.captures import Captures, Defaults
from services.monitor.drift.engine import DriftEngine
from services.monitor.insight import Insight, Parts, Traffic
from services.monitor.insight_config import InsightSettings
from services.monitor.insight_metrics import InsightMetrics
from services.monitor.outcomes import OutcomeEvent, Outcomes
from services.monitor.replay import Replay
from services.monitor.samples.store import open_store
from services.monitor.samples.writer import Writer


def defaults(settings: InsightSettings) -> Defaults:
    """What holds for models without a capture of their own; for `Captures`."""
    return Defaults(
        percent=settings.capture_percent, retention=settings.samples_seconds, max_bytes=settings.samples_bytes
    )


def _forget(captures: Captures, parts: Parts, model: str) -> None:
    """What must not be kept any more goes, also from sketches and predictions, which hold values as they were."""
    parts.writer.sweep()
    settings = captures.of(model)
    parts.drift.forget(model, None if settings.opt_out else settings.hidden)
    if settings.opt_out or settings.hidden:
        parts.outcomes.forget(model)


async def build(
    stack: AsyncExitStack,
    settings: InsightSettings,
    consul: Consul,
    captures: Captures,
    metrics: CollectorRegistry,
    *,
    on_outcome: Callable[[OutcomeEvent], None],
    traffic: Traffic,
) -> Insight:
    """Waits for no store. What it opens is closed, and what it learnt written, when the stack unwinds."""
    store = open_store(settings.samples_url, settings.samples_memory_bytes)
    stack.push_async_callback(store.close)
    writer = Writer(store, captures.rules)
    stack.push_async_callback(writer.finish)
    outcomes = Outcomes(settings.data_dir / "outcomes", store, writer, on_outcome)
    webhook = Webhook(settings.alert_webhook) if settings.alert_webhook else None
    alerts = Alerts(settings.data_dir / "alerts", webhook)
    parts = Parts(
        captures=captures,
        store=store,
        writer=writer,
        outcomes=outcomes,
        replay=Replay(store, consul, settings),
        drift=DriftEngine(settings.data_dir / "drift", settings.drift()),
        alerts=alerts,
        webhook=webhook,
        traffic=traffic,
    )
    captures.on_change = partial(_forget, captures, parts)
    insight = Insight(parts)
    await insight.restore()
    stack.push_async_callback(insight.keep)
    shown = InsightMetrics(insight.looking, writer, outcomes, alerts)
    metrics.register(shown)
    stack.callback(metrics.unregister, shown)
    return insight
