"""Alerts: opened when something is found, resolved when it is gone, told to whoever watches.

    alerts = Alerts(folder, webhook)         Webhook(url) or None
    alerts.load()
    alerts.apply({Scope(model, version, kind): [Finding(feature, message, effect)]}, now)
    alerts.page(model, everything, size, token) -> Page      .get(name) .acknowledge(name, by, now) .resolve(name, now)
    async for alert in alerts.watch(model): ...

All of it on the event loop; `Webhook.run()` is a task of the caller's. `calls.AlertCalls(alerts)` speaks protobuf.
"""

from __future__ import annotations

from services.monitor.alerts.desk import Alerts, Page
from services.monitor.alerts.model import Alert, Finding, Scope, State
from services.monitor.alerts.webhook import Webhook

__all__ = ["Alert", "Alerts", "Finding", "Page", "Scope", "State", "Webhook"]
