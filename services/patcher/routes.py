"""The little that the patcher has to do with routes: the first one of a model, and letting go of a version by force."""

from __future__ import annotations

import grpc
from bmase.gateway.v1 import route_pb2 as pb
from bmase.gateway.v1.route_pb2_grpc import RouteServiceStub

from services.kit.consul import Consul
from services.kit.consul.documents import ROUTES, read
from services.patcher.documents import RouteDocument
from services.patcher.state import Deployment

CALL_SECONDS = 10.0
WHOLE = 100


class Routes:
    """Reads the gateway's documents, and asks the gateway itself for every change."""

    def __init__(self, consul: Consul, channel: grpc.aio.Channel) -> None:
        self._consul = consul
        self._gateway = RouteServiceStub(channel)

    async def exists(self, model: str) -> bool:
        return await self._consul.kv.get(ROUTES + model) is not None

    async def uses(self, model: str, version: int) -> bool:
        """Whether the route sends the version anything. One that cannot be read is taken to do so."""
        entry = await self._consul.kv.get(ROUTES + model)
        if entry is None:
            return False
        route = read(RouteDocument, entry.value)
        return route is None or route.uses(version)

    async def weights(self, model: str) -> dict[int, int] | None:
        """version -> weight of those that have traffic; None when there is no route."""
        entry = await self._consul.kv.get(ROUTES + model)
        route = read(RouteDocument, entry.value) if entry else None
        return {each.version: each.weight for each in route.versions if each.weight} if route else None

    async def give(self, deployment: Deployment) -> None:
        """All traffic of the model to this version."""
        weighted = pb.WeightedVersion(version=deployment.version, weight=WHOLE)
        route = pb.Route(name=f"routes/{deployment.model}", versions=[weighted])
        await self._gateway.UpdateRoute(pb.UpdateRouteRequest(route=route, allow_missing=True), timeout=CALL_SECONDS)

    async def let_go(self, deployment: Deployment) -> None:
        """The route without the version; without the route, when nothing is left in it that gets traffic."""
        name = f"routes/{deployment.model}"
        try:
            route = await self._gateway.GetRoute(pb.GetRouteRequest(name=name), timeout=CALL_SECONDS)
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.NOT_FOUND:
                return
            raise
        left = without(route, deployment.version)
        if left is None:
            await self._gateway.DeleteRoute(pb.DeleteRouteRequest(name=name, etag=route.etag), timeout=CALL_SECONDS)
        elif left != route:
            await self._gateway.UpdateRoute(pb.UpdateRouteRequest(route=left), timeout=CALL_SECONDS)


def without(route: pb.Route, version: int) -> pb.Route | None:
    """The route as it is without the version; None when no version with a weight is left."""
    left = pb.Route()
    left.CopyFrom(route)
    del left.versions[:], left.overrides[:]
    left.versions.extend(entry for entry in route.versions if entry.version != version)
    left.overrides.extend(entry for entry in route.overrides if entry.version != version)
    if left.HasField("mirror") and left.mirror.version == version:
        left.ClearField("mirror")
    return left if any(entry.weight for entry in left.versions) else None
