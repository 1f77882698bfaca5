"""The leader's rounds over all schedules: look, decide, keep. What is started is the pipelines' business."""

from __future__ import annotations

import time

import structlog
from bmase.reasons import Reason

from services.kit.errors import DomainError
from services.kit.hub import Hub
from services.trainer.pipelines.metrics import PipelineMetrics
from services.trainer.schedules.alerts import AlertWatch
from services.trainer.schedules.data import DataWatch
from services.trainer.schedules.decide import decide
from services.trainer.schedules.observation import Seen
from services.trainer.schedules.records import ScheduleRecords
from services.trainer.schedules.state import Schedule

log = structlog.get_logger(__name__)

# These end the round; everything else is one schedule's own trouble, and holds up no other.
_OF_ALL = frozenset({Reason.NOT_LEADER, Reason.STORE_UNAVAILABLE})


class ScheduleRounds:
    """Runs under the lease of the pipelines' leader."""

    def __init__(
        self, records: ScheduleRecords, *, alerts: AlertWatch, poll: float, metrics: PipelineMetrics, news: Hub
    ) -> None:
        self._records = records
        self._alerts = alerts
        self._poll = poll
        self._metrics = metrics
        self._news = news

    async def lead(self, fence: int, tick: float) -> None:
        """Until cancelled, or until a later leader has written."""
        data, seen = DataWatch(self._poll), -1
        try:
            while True:
                try:
                    await self._round(data, fence)
                except DomainError as error:
                    if error.reason is Reason.NOT_LEADER:
                        return
                    log.warning("schedules_wait", message=error.message)
                seen = await self._news.wait(seen, tick)
        finally:
            await data.close()

    async def _round(self, data: DataWatch, fence: int) -> None:
        schedules, running = await self._records.look()
        seen = Seen(time.time(), data.look(schedules), await self._alerts.look(schedules), running)
        for schedule in schedules:
            try:
                await self._decide(schedule, seen, fence)
            except DomainError as error:
                if error.reason in _OF_ALL:
                    raise
                log.warning("schedule_waits", schedule=schedule.id, message=error.message)
            except Exception:
                log.exception("schedule_failed", schedule=schedule.id)

    async def _decide(self, schedule: Schedule, seen: Seen, fence: int) -> None:
        for decision in decide([schedule], seen):
            if not await self._records.decided(decision, fence):
                continue  # somebody has changed it; the next round decides anew
            for sentence in decision.sentences:
                log.info("schedule", schedule=schedule.id, message=sentence)
            self._metrics.fired(decision.fires)
            if decision.starts or decision.stops:
                self._news.notify()
