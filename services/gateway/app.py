"""The composition root of the gateway's control process."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AsyncExitStack

from bmase.gateway.v1 import route_pb2_grpc

from services.gateway.config import GatewaySettings
from services.gateway.control import Control, Reporter
from services.gateway.durable import Durable
from services.gateway.envoy import explain, files
from services.gateway.envoy.admin import Admin
from services.gateway.envoy.publisher import Publisher
from services.gateway.envoy.snapshot import ModelRoute
from services.gateway.operations import Operations
from services.gateway.service import RouteServicer
from services.gateway.watches import Watches
from services.gateway.world import World
from services.kit import telemetry
from services.kit.app import run, supervise
from services.kit.consul import Consul
from services.kit.server import GrpcServer, Registration

SERVICE = "gateway"


async def build(stack: AsyncExitStack) -> None:
    """Builds and starts everything, in the order in which it depends on each other."""
    settings = GatewaySettings()
    observed = stack.enter_context(telemetry.start(settings))
    configuration = settings.configuration()
    for path, data in configuration.static().items():
        files.write(path, data)

    async def reason(routes: Sequence[ModelRoute]) -> str | None:
        return await explain.reason(settings.binary, routes, configuration.limits)

    consul = await stack.enter_async_context(Consul.of(settings))
    admin = Admin(configuration.admin)
    stack.push_async_callback(admin.close)
    durable = Durable(settings.data_dir / "state.jsonl")
    world = World()
    world.restore(durable.load())
    control = Control(world, Publisher(configuration, admin), durable, reason)
    watches = Watches(consul, world, control)
    reporter = Reporter(consul, settings.instance, settings.clients_address, settings.statistics_address, control)

    for name, work in (
        ("publish", control.run()),
        ("keep", control.keep()),
        ("tidy", control.tidy()),
        ("report", reporter.run()),
        ("routes", watches.routes()),
        ("placements", watches.placements()),
        ("captures", watches.captures()),
        *((f"service {package}", watches.service(package)) for package in configuration.packages),
    ):
        supervise(stack, work, name)
    control.changed()

    operations = Operations(consul, world, control, settings.instance)
    registration = Registration(
        route_pb2_grpc.add_RouteServiceServicer_to_server, RouteServicer(operations), "bmase.gateway.v1.RouteService"
    )
    # By this Prometheus finds the counters of Envoy.
    meta = {"statistics": settings.statistics_address}
    server = GrpcServer(settings, SERVICE, [registration], telemetry=observed, consul=consul, meta=meta)
    await stack.enter_async_context(server)


def main() -> None:
    """Runs until a signal."""
    run(build)
