"""The registry put together: settings in, objects built, started, and stopped in reverse."""

from __future__ import annotations

from contextlib import AsyncExitStack

from services.kit import app, telemetry
from services.kit.blob import open_store
from services.kit.consul import Consul
from services.kit.database import Database
from services.kit.files import only_one
from services.kit.server import GrpcServer, Registration
from services.registry import memory
from services.registry.artefacts import Artefacts
from services.registry.config import RegistrySettings
from services.registry.creation import Creation
from services.registry.garbage import Garbage
from services.registry.inspection import Inspection
from services.registry.journal import Journal
from services.registry.listing import Lists
from services.registry.metrics import RegistryMetrics
from services.registry.models import Models
from services.registry.service import FULL_NAME, Parts, RegistryServicer
from services.registry.staging import Staging
from services.registry.transfer import add_to_server
from services.registry.uploads import Uploads
from services.registry.versions import Versions
from services.registry.watch import Watch

# An upload is received ahead of the disk by so much and not more: left alone, gRPC measures the link and holds tens of
# megabytes for each of them.
AHEAD_BYTES = 2 * 1024 * 1024
CHANNEL = [("grpc.http2.bdp_probe", 0), ("grpc.http2.lookahead_bytes", AHEAD_BYTES)]


async def build(stack: AsyncExitStack) -> None:
    """Everything of one registry. It needs its database and its blob store to start, and Consul only to be found."""
    settings = RegistrySettings()
    told = stack.enter_context(telemetry.start(settings))
    stack.enter_context(only_one(settings.data_dir, "registry"))
    database = await stack.enter_async_context(Database(settings.database))
    await database.migrate("services.registry")
    store = open_store(settings.blobs)
    await store.check()
    staging = Staging(settings.data_dir.absolute() / "uploads")
    stack.callback(staging.close)

    journal = Journal(database)
    artefacts = Artefacts(database, store)
    inspection = Inspection(artefacts)
    stack.push_async_callback(inspection.close)
    uploads = Uploads(staging, artefacts)
    garbage = Garbage(database, journal, artefacts, uploads)
    parts = Parts(
        models=Models(database, journal),
        versions=Versions(database, journal),
        creation=Creation(database, journal, artefacts, inspection),
        lists=Lists(database),
        uploads=uploads,
        artefacts=artefacts,
        garbage=garbage,
        watch=Watch(database, journal),
        ages=settings.ages(),
    )
    RegistryMetrics(told.registry, uploads)
    app.supervise(stack, journal.follow(), "journal")
    if settings.gc_interval_seconds:
        app.supervise(stack, garbage.run(settings.ages(), settings.gc_interval_seconds), "garbage")
    consul = await stack.enter_async_context(Consul.of(settings))
    registration = Registration(add_to_server, RegistryServicer(parts), FULL_NAME)
    await stack.enter_async_context(
        GrpcServer(settings, "registry", [registration], telemetry=told, consul=consul, options=CHANNEL)
    )


def main() -> None:
    memory.for_large_messages()
    app.run(build)
