"""The monitor's open alerts, asked for again and again: what is still so counts, so nothing is lost in between."""

from __future__ import annotations

import time
from collections.abc import Iterable

import grpc
import structlog
from bmase.gateway.v1.route_pb2_grpc import RouteServiceStub
from bmase.monitor.v1 import monitor_pb2 as pb
from bmase.monitor.v1.monitor_pb2_grpc import MonitorServiceStub

from services.kit.errors import DomainError
from services.trainer.pipelines.calls import CALL_SECONDS, answered, has_traffic
from services.trainer.schedules.observation import Alert
from services.trainer.schedules.spec import DriftTrigger
from services.trainer.schedules.state import Schedule

log = structlog.get_logger(__name__)

POLL_SECONDS = 2.0
PAGE = 1000


class AlertWatch:
    """Of the leader. The monitor is asked only while a schedule waits for alerts."""

    def __init__(self, monitor: grpc.aio.Channel, gateway: grpc.aio.Channel, poll: float = POLL_SECONDS) -> None:
        self._monitor = MonitorServiceStub(monitor)
        self._routes = RouteServiceStub(gateway)
        self._poll = poll
        self._asked = -poll
        self.open: tuple[Alert, ...] | None = ()  # None: the monitor does not answer

    async def look(self, schedules: Iterable[Schedule]) -> tuple[Alert, ...] | None:
        """Those that are open about versions that have traffic; None when the monitor or the gateway does not answer.

        An alert about a version that nobody is sent to any more stays open, as nothing comes that could end it.
        """
        models = {s.model for s in schedules if isinstance(s.spec.trigger, DriftTrigger) and not s.paused}
        if not models:
            self.open = ()
        elif time.monotonic() - self._asked >= self._poll:
            self._asked = time.monotonic()
            try:
                self.open = await self._served([alert for alert in await self._read() if alert.model in models])
            except DomainError as error:
                log.warning("alerts_silent", message=error.message)
                self.open = None
        return self.open

    async def _served(self, alerts: list[Alert]) -> tuple[Alert, ...]:
        traffic = {model: await has_traffic(self._routes, model) for model in {alert.model for alert in alerts}}
        return tuple(alert for alert in alerts if alert.version in (traffic[alert.model] or ()))

    async def _read(self) -> list[Alert]:
        found: list[Alert] = []
        token = ""
        while True:
            request = pb.ListAlertsRequest(page_size=PAGE, page_token=token)
            page = await answered("monitor", self._monitor.ListAlerts(request, timeout=CALL_SECONDS))
            found += [alert_seen(alert) for alert in page.alerts if alert.state == pb.Alert.STATE_OPEN]
            token = page.next_page_token
            if not token:
                return found


def alert_seen(alert: pb.Alert) -> Alert:
    """As much of it as schedules go by."""
    opened = alert.open_time.ToMicroseconds() / 1_000_000
    model, id = alert.model.removeprefix("models/"), alert.name.removeprefix("alerts/")
    return Alert(id, model, alert.version, alert.kind, opened, alert.message)
