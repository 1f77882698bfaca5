"""Composition root of the trainer: settings in, parts built, started, and stopped in reverse."""

from __future__ import annotations

from contextlib import AsyncExitStack
from functools import partial

from bmase.trainer.v1 import trainer_pb2_grpc

from services.kit import app, telemetry
from services.kit.client import ServiceClients
from services.kit.consul import Consul
from services.kit.database import Database
from services.kit.hub import Hub
from services.kit.server import GrpcServer, Registration
from services.trainer.config import TrainerSettings
from services.trainer.engine.assignment import Assignments, look_at
from services.trainer.engine.blobs import Blobs
from services.trainer.engine.embedded import EmbeddedRay
from services.trainer.engine.engine import Engine
from services.trainer.engine.registering import Registering
from services.trainer.engine.registry import Registry
from services.trainer.engine.stable import Stable
from services.trainer.jobs.journal import JobJournal
from services.trainer.jobs.records import JobRecords
from services.trainer.loop import Loop
from services.trainer.metrics import TrainerMetrics
from services.trainer.pipelines.assembly import Pace, assemble
from services.trainer.pipelines.jobs import RecordedJobs
from services.trainer.service import TrainerServicer, check, create

NAME = "trainer"


async def build(stack: AsyncExitStack) -> None:
    """Everything of one instance. It needs its database to start, and nothing else."""
    settings = TrainerSettings()
    told = stack.enter_context(telemetry.start(settings))
    database = await stack.enter_async_context(Database(settings.database))
    await database.migrate("services.trainer")
    consul = await stack.enter_async_context(Consul.of(settings))
    clients = await stack.enter_async_context(ServiceClients(consul, settings))

    records, journal, hub = JobRecords(database), JobJournal(database), Hub()
    registry = Registry(clients.channel("registry"))
    settings.attempts.mkdir(parents=True, exist_ok=True, mode=0o700)

    def engine() -> Engine:
        return Engine(
            records,
            journal,
            hub,
            assignments=Assignments(registry, settings.attempts, settings.blobs, settings.checkpoint_seconds),
            registering=Registering(registry, clients.channel("monitor"), settings.blobs),
            stable=Stable(clients.channel("gateway")),
            ray=EmbeddedRay(settings.data_dir.absolute() / "ray", settings.machine.millicpus / 1000),
            blobs=Blobs(settings.blobs),
            machine=settings.machine,
            address=settings.ray_address,
            journal_days=settings.journal_days,
        )

    loop = Loop(consul, records, hub, engine=engine, quotas=settings.quotas)
    TrainerMetrics(told.registry, loop)
    app.supervise(stack, loop.run(), "loop")
    jobs = Registration(
        trainer_pb2_grpc.add_TrainerServiceServicer_to_server,
        TrainerServicer(records, journal, hub, loop, partial(look_at, registry=registry)),
        "bmase.trainer.v1.TrainerService",
    )
    pipelines = assemble(
        stack,
        consul=consul,
        clients=clients,
        database=database,
        jobs=RecordedJobs(records, check=check, create=create, changed=hub.notify),
        registry=told.registry,
        pace=Pace(data=settings.data_poll_seconds),
    )
    await stack.enter_async_context(GrpcServer(settings, NAME, [jobs, *pipelines], telemetry=told, consul=consul))


def main() -> None:
    app.run(build)
