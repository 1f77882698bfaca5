"""Composition root of the patcher: settings in, parts built, started, and stopped in reverse."""

from __future__ import annotations

from contextlib import AsyncExitStack

from bmase.patcher.v1 import deployment_pb2_grpc

from services.kit import app, telemetry
from services.kit.client import ServiceClients
from services.kit.consul import Consul
from services.kit.database import Database
from services.kit.hub import Hub
from services.kit.server import GrpcServer, Registration
from services.patcher.claim import Claim
from services.patcher.config import PatcherSettings
from services.patcher.loop import Loop
from services.patcher.metrics import PatcherMetrics
from services.patcher.probes import Probes
from services.patcher.records import Records
from services.patcher.releases.assembly import Parts, assemble
from services.patcher.releases.news import News
from services.patcher.routes import Routes
from services.patcher.service import DeploymentServicer
from services.patcher.versions import Versions
from services.patcher.view import View

NAME = "patcher"


async def build(stack: AsyncExitStack) -> None:
    """Everything of one instance. It needs its database to start, and nothing else."""
    settings = PatcherSettings()
    told = stack.enter_context(telemetry.start(settings))
    database = await stack.enter_async_context(Database(settings.database))
    await database.migrate("services.patcher")
    consul = await stack.enter_async_context(Consul.of(settings))
    clients = await stack.enter_async_context(ServiceClients(consul, settings))

    records, hub, news, probes = Records(database), Hub(), News(), Probes()

    def changed() -> None:
        hub.notify()
        news.seen()

    view = View(consul, probes, settings.settle_seconds, changed)
    versions = Versions(clients.channel("registry"))
    routes = Routes(consul, clients.channel("gateway"))
    claim = Claim(consul, records, take_over=settings.take_over)
    loop = Loop(
        consul, records, view=view, hub=hub, versions=versions, routes=routes, rules=settings.rules, claim=claim
    )
    PatcherMetrics(told.registry, loop, view, claim)

    releases = await assemble(
        stack,
        consul=consul,
        clients=clients,
        database=database,
        registry=told.registry,
        settings=settings,
        parts=Parts(records, view, hub, versions, routes, loop, claim),
        news=news,
    )
    for name, work in view.tasks():
        app.supervise(stack, work(), name)
    app.supervise(stack, probes.run(), "probes")
    app.supervise(stack, loop.run(), "loop")
    deployments = Registration(
        deployment_pb2_grpc.add_DeploymentServiceServicer_to_server,
        DeploymentServicer(records, view, hub, versions, routes, claim=claim),
        "bmase.patcher.v1.DeploymentService",
    )
    await stack.enter_async_context(GrpcServer(settings, NAME, [deployments, releases], telemetry=told, consul=consul))


def main() -> None:
    app.run(build)
