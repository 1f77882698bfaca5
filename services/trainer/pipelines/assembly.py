"""Puts schedules and pipelines together; called once, by the trainer's composition root."""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import dataclass

from bmase.trainer.v1 import pipeline_pb2_grpc, schedule_pb2_grpc
from prometheus_client import CollectorRegistry

from services.kit import app
from services.kit.client import ServiceClients
from services.kit.consul import Consul
from services.kit.database import Database
from services.kit.hub import Hub
from services.kit.server import Registration
from services.trainer.pipelines.eyes import Channels, Eyes
from services.trainer.pipelines.hands import Hands
from services.trainer.pipelines.jobs import Jobs
from services.trainer.pipelines.loop import TICK, Desk, PipelineLoop
from services.trainer.pipelines.metrics import PipelineMetrics
from services.trainer.pipelines.records import PipelineRecords
from services.trainer.pipelines.service import PipelineServicer
from services.trainer.schedules.alerts import POLL_SECONDS as ALERTS
from services.trainer.schedules.alerts import AlertWatch
from services.trainer.schedules.data import POLL_SECONDS as DATA
from services.trainer.schedules.loop import ScheduleRounds
from services.trainer.schedules.records import ScheduleRecords
from services.trainer.schedules.service import ScheduleServicer

PIPELINES = "bmase.trainer.v1.PipelineService"
SCHEDULES = "bmase.trainer.v1.ScheduleService"


@dataclass(frozen=True)
class Pace:
    """Seconds between two looks: at what is kept, at alerts, at data that may change."""

    tick: float = TICK
    alerts: float = ALERTS
    data: float = DATA


def assemble(
    stack: AsyncExitStack,
    *,
    consul: Consul,
    clients: ServiceClients,
    database: Database,
    jobs: Jobs,
    registry: CollectorRegistry,
    pace: Pace | None = None,
) -> list[Registration]:
    """Starts what contends for the lead of schedules and pipelines, and gives out their services.

    The database has to be migrated. Calls go to the services `patcher`, `gateway` and `monitor`.
    """
    pace = pace or Pace()
    news, metrics = Hub(), PipelineMetrics(registry)
    pipelines, schedules = PipelineRecords(database), ScheduleRecords(database)
    channels = Channels(clients.channel("patcher"), clients.channel("gateway"), clients.channel("monitor"))
    alerts = AlertWatch(channels.monitor, channels.gateway, pace.alerts)
    rounds = ScheduleRounds(schedules, alerts=alerts, poll=pace.data, metrics=metrics, news=news)
    desk = Desk(pipelines, Eyes(jobs, channels), Hands(jobs, channels), metrics, news)
    loop = PipelineLoop(consul, desk, lambda fence: rounds.lead(fence, pace.tick), pace.tick)
    app.supervise(stack, loop.run(), "pipelines")
    return [
        Registration(
            pipeline_pb2_grpc.add_PipelineServiceServicer_to_server,
            PipelineServicer(pipelines, jobs, news),
            PIPELINES,
        ),
        Registration(
            schedule_pb2_grpc.add_ScheduleServiceServicer_to_server,
            ScheduleServicer(schedules, jobs, news, lambda: alerts.open),
            SCHEDULES,
        ),
    ]
