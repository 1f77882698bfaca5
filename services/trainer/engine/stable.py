"""Which version of a model is stable now: the one that its route sends most to."""

from __future__ import annotations

import grpc
from bmase.gateway.v1 import route_pb2
from bmase.gateway.v1.route_pb2_grpc import RouteServiceStub

from services.kit.errors import translated

CALL_SECONDS = 10.0


class Stable:
    """Asks the gateway."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._gateway = RouteServiceStub(channel)

    async def version(self, model: str) -> int:
        """0 when the model has no route; SERVICE_UNAVAILABLE when the gateway does not answer."""
        try:
            request = route_pb2.GetRouteRequest(name=f"routes/{model}")
            route = await self._gateway.GetRoute(request, timeout=CALL_SECONDS)
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.NOT_FOUND:
                return 0
            raise translated(error, "gateway") from error
        most = max(route.versions, key=lambda each: (each.weight, -each.version), default=None)
        return int(most.version) if most is not None and most.weight else 0
