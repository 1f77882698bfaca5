"""Puts the releases together from the patcher's parts; called once, by the composition root."""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import dataclass

from bmase.patcher.v1 import release_pb2_grpc
from prometheus_client import CollectorRegistry

from services.kit import app
from services.kit.client import ServiceClients
from services.kit.consul import Consul
from services.kit.database import Database
from services.kit.hub import Hub
from services.kit.server import Registration
from services.patcher.claim import Claim
from services.patcher.config import PatcherSettings
from services.patcher.loop import Loop
from services.patcher.records import Records
from services.patcher.releases.eyes import Eyes, RouteWatch
from services.patcher.releases.hooks import Hooks
from services.patcher.releases.loop import ReleaseLoop
from services.patcher.releases.metrics import ReleaseMetrics
from services.patcher.releases.monitor import Monitor
from services.patcher.releases.news import News
from services.patcher.releases.records import ReleaseRecords
from services.patcher.releases.service import ReleaseServicer
from services.patcher.releases.tools import Tools
from services.patcher.routes import Routes
from services.patcher.versions import Versions
from services.patcher.view import View

SERVICE = "bmase.patcher.v1.ReleaseService"


@dataclass(frozen=True)
class Parts:
    """What deployments and releases share."""

    records: Records
    view: View
    hub: Hub
    versions: Versions
    routes: Routes
    loop: Loop
    claim: Claim


async def assemble(
    stack: AsyncExitStack,
    *,
    consul: Consul,
    clients: ServiceClients,
    database: Database,
    registry: CollectorRegistry,
    settings: PatcherSettings,
    parts: Parts,
    news: News,
) -> Registration:
    """Starts what releases need, puts them under the patcher's lease, and gives out their service."""
    records, monitor = ReleaseRecords(database), Monitor(clients.channel("monitor"))
    hooks = await stack.enter_async_context(Hooks())
    watch = RouteWatch(consul)
    eyes = Eyes(parts.view, watch, settings.rules, lambda: parts.loop.state)

    def tools(fence: int) -> Tools:
        return Tools(
            fence=fence,
            deployments=parts.records,
            releases=records,
            hub=parts.hub,
            versions=parts.versions,
            routes=parts.routes,
            gateway=clients.channel("gateway"),
            registry=clients.channel("registry"),
            monitor=monitor,
            hooks=hooks,
        )

    loop = ReleaseLoop(
        records,
        eyes=eyes,
        routes=watch,
        monitor=monitor,
        news=news,
        metrics=ReleaseMetrics(registry),
        tools=tools,
        who=settings.instance,
    )
    parts.loop.beside = loop.lead
    app.supervise(stack, watch.run(), "watch routes")
    servicer = ReleaseServicer(
        records,
        deployments=parts.records.read,
        loop=loop,
        eyes=eyes,
        monitor=monitor,
        news=news,
        versions=parts.versions,
        routes=parts.routes,
        claim=parts.claim,
    )
    return Registration(release_pb2_grpc.add_ReleaseServiceServicer_to_server, servicer, SERVICE)
