"""RouteService: decode, call, encode."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from typing import Any

from bmase.gateway.v1 import route_pb2 as pb
from bmase.reasons import Reason

from services.gateway import requests as rq
from services.gateway.documents import GatewayReport, Weighted
from services.gateway.operations import Operations, Stored
from services.kit.decode import decode
from services.kit.errors import DomainError, InvalidArgument, Violation

Reports = Mapping[str, tuple[str, GatewayReport]]


class RouteServicer:
    """The gRPC face of `Operations`."""

    def __init__(self, operations: Operations) -> None:
        self._operations = operations

    async def GetRoute(self, request: pb.GetRouteRequest, context: Any) -> pb.Route:  # noqa: N802
        stored = self._operations.get(decode(rq.GetRoute, request).name.model)
        return encode(stored, await self._reports())

    async def ListRoutes(self, request: pb.ListRoutesRequest, context: Any) -> pb.ListRoutesResponse:  # noqa: N802
        wanted = decode(rq.ListRoutes, request)
        rest = [stored for stored in self._operations.all() if stored.model > _page_after(wanted.page_token)]
        page = rest[: wanted.page_size]
        more = f"after:{page[-1].model}" if len(rest) > len(page) else ""
        reports = await self._reports()
        return pb.ListRoutesResponse(routes=[encode(stored, reports) for stored in page], next_page_token=more)

    async def UpdateRoute(self, request: pb.UpdateRouteRequest, context: Any) -> pb.Route:  # noqa: N802
        wanted = decode(rq.UpdateRoute, request)
        route = wanted.route
        stored = await self._operations.update(
            route.name.model, route.document, route.etag, wanted.allow_missing, wanted.hold
        )
        return encode(stored, await self._reports())

    async def SetWeights(self, request: pb.SetWeightsRequest, context: Any) -> pb.Route:  # noqa: N802
        wanted = decode(rq.SetWeights, request)
        versions = [Weighted(version=entry.version, weight=entry.weight) for entry in wanted.versions]
        stored = await self._operations.set_weights(wanted.name.model, versions, wanted.etag, wanted.hold)
        return encode(stored, {})

    async def DeleteRoute(self, request: pb.DeleteRouteRequest, context: Any) -> pb.DeleteRouteResponse:  # noqa: N802
        wanted = decode(rq.DeleteRoute, request)
        await self._operations.delete(wanted.name.model, wanted.etag)
        return pb.DeleteRouteResponse()

    async def WatchRoutes(  # noqa: N802
        self, request: pb.WatchRoutesRequest, context: Any
    ) -> AsyncIterator[pb.WatchRoutesResponse]:
        name = decode(rq.WatchRoutes, request).name
        async for model, stored in self._operations.watch(name.model if name else None):
            route = encode(stored, {}) if stored else pb.Route(name=f"routes/{model}")
            yield pb.WatchRoutesResponse(route=route, deleted=stored is None)

    async def ListGateways(  # noqa: N802
        self, request: pb.ListGatewaysRequest, context: Any
    ) -> pb.ListGatewaysResponse:
        newest = max((stored.index for stored in self._operations.all()), default=0)
        listed = [_gateway(name, *seen, newest) for name, seen in sorted((await self._operations.gateways()).items())]
        return pb.ListGatewaysResponse(gateways=listed)

    async def _reports(self) -> Reports:
        """Reading a route works without Consul; then nothing is said about the gateways."""
        try:
            return await self._operations.gateways()
        except DomainError as error:
            if error.reason is not Reason.COORDINATION_UNAVAILABLE:
                raise
            return {}


def _page_after(token: str) -> str:
    if token and not token.startswith("after:"):
        raise DomainError(Reason.PAGE_TOKEN_INVALID, "the page token is not one of this list", field="page_token")
    return token.removeprefix("after:")


def encode(stored: Stored, reports: Reports) -> pb.Route:
    """The route as callers see it."""
    document = stored.document
    route = pb.Route(
        name=f"routes/{stored.model}",
        versions=[pb.WeightedVersion(version=v.version, weight=v.weight) for v in document.versions],
        overrides=[pb.Override(header=o.header, value=o.value, version=o.version) for o in document.overrides],
        retries=document.retries,
        etag=stored.etag,
        release=document.release,
        gateways=[_state(stored, name, *seen) for name, seen in sorted(reports.items())],
    )
    if document.sticky:
        sticky = document.sticky
        route.sticky.CopyFrom(pb.Sticky(header=sticky.header) if sticky.header else pb.Sticky(source_ip=True))
    if document.mirror:
        route.mirror.CopyFrom(pb.Mirror(version=document.mirror.version, percent=document.mirror.percent))
    if document.timeout is not None:
        route.timeout.FromNanoseconds(round(document.timeout * 1e9))
    if document.update_time:
        route.update_time.FromDatetime(datetime.fromisoformat(document.update_time))
    return route


def _state(stored: Stored, name: str, epoch: str, report: GatewayReport) -> pb.GatewayState:
    reason = report.rejected.get(stored.model, "")
    behind = report.epoch != epoch or report.routes_index < stored.index
    message = f"refused: {reason}" if reason else "not applied yet" if behind else ""
    return pb.GatewayState(gateway=name, applied=not (reason or behind), message=message)


def _gateway(name: str, epoch: str, report: GatewayReport, newest: int) -> pb.Gateway:
    in_sync = report.epoch == epoch and report.routes_index >= newest and not report.rejected
    gateway = pb.Gateway(name=name, address=report.address, routes=report.routes, in_sync=in_sync)
    if report.time:
        gateway.report_time.FromDatetime(datetime.fromisoformat(report.time))
    return gateway


__all__ = ["InvalidArgument", "RouteServicer", "Violation", "encode"]
