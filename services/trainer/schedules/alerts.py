"""The monitor's open alerts, asked for again and again: what is still so counts, so nothing is lost in between."""

from __future__ import annotations

import time
from collections.abc import Iterable

import grpc
import structlog
from bmase.monitor.v1 import monitor_pb2 as pb
from bmase.monitor.v1.monitor_pb2_grpc import MonitorServiceStub

from services.kit.errors import DomainError
from services.trainer.pipelines.calls import CALL_SECONDS, answered
from services.trainer.schedules.observation import Alert
from services.trainer.schedules.spec import DriftTrigger
from services.trainer.schedules.state import Schedule

log = structlog.get_logger(__name__)

POLL_SECONDS = 2.0
PAGE = 1000


class AlertWatch:
    """Of the leader. The monitor is asked only while a schedule waits for alerts."""

    def __init__(self, monitor: grpc.aio.Channel, poll: float = POLL_SECONDS) -> None:
        self._monitor = MonitorServiceStub(monitor)
        self._poll = poll
        self._asked = -poll
        self.open: tuple[Alert, ...] | None = ()  # None: the monitor does not answer

    async def look(self, schedules: Iterable[Schedule]) -> tuple[Alert, ...] | None:
        """All that are open; None when the monitor does not answer."""
        if not any(isinstance(s.spec.trigger, DriftTrigger) and not s.paused for s in schedules):
            self.open = ()
        elif time.monotonic() - self._asked >= self._poll:
            self._asked = time.monotonic()
            self.open = await self._read()
        return self.open

    async def _read(self) -> tuple[Alert, ...] | None:
        found: list[Alert] = []
        token = ""
        try:
            while True:
                request = pb.ListAlertsRequest(page_size=PAGE, page_token=token)
                page = await answered("monitor", self._monitor.ListAlerts(request, timeout=CALL_SECONDS))
                found += [alert_seen(alert) for alert in page.alerts if alert.state == pb.Alert.STATE_OPEN]
                token = page.next_page_token
                if not token:
                    return tuple(found)
        except DomainError as error:
            log.warning("alerts_silent", message=error.message)
            return None


def alert_seen(alert: pb.Alert) -> Alert:
    """As much of it as schedules go by."""
    opened = alert.open_time.ToMicroseconds() / 1_000_000
    model, id = alert.model.removeprefix("models/"), alert.name.removeprefix("alerts/")
    return Alert(id, model, alert.version, alert.kind, opened, alert.message)
