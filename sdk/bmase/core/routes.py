"""Calls of `bmase.gateway.v1.RouteService`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from bmase import names
from bmase.core.calls import Call, Listing, Watch
from bmase.gateway.v1 import route_pb2 as pb

SERVICE = "/bmase.gateway.v1.RouteService/"


@dataclass(frozen=True, slots=True)
class Sticky:
    """Keeps requests together: by the value of a header, or by the client's address when `header` is empty."""

    header: str = ""


@dataclass(frozen=True, slots=True)
class Override:
    """Requests with this header (and this value, if one is given) go to this version."""

    header: str
    version: int
    value: str = ""


@dataclass(frozen=True, slots=True)
class Mirror:
    """A copy of `percent` % of the requests goes to this version; its answers are thrown away."""

    version: int
    percent: float = 100.0


@dataclass(frozen=True, slots=True)
class RouteSpec:
    """A whole route: weights by version number, and how to treat requests."""

    weights: Mapping[int, int]
    sticky: Sticky | None = None
    overrides: Iterable[Override] = field(default_factory=tuple)
    mirror: Mirror | None = None
    timeout: timedelta | None = None
    retries: int = 0


def _weighted(weights: Mapping[int, int]) -> list[pb.WeightedVersion]:
    return [pb.WeightedVersion(version=version, weight=weight) for version, weight in weights.items()]


def build(model: str, spec: RouteSpec, etag: str) -> pb.Route:
    """The message for a whole route."""
    route = pb.Route(name=names.route(model), versions=_weighted(spec.weights), retries=spec.retries, etag=etag)
    if spec.sticky is not None:
        route.sticky.CopyFrom(_sticky(spec.sticky))
    route.overrides.extend(pb.Override(header=o.header, value=o.value, version=o.version) for o in spec.overrides)
    if spec.mirror is not None:
        route.mirror.CopyFrom(pb.Mirror(version=spec.mirror.version, percent=spec.mirror.percent))
    if spec.timeout is not None:
        route.timeout.FromTimedelta(spec.timeout)
    return route


def _sticky(sticky: Sticky) -> pb.Sticky:
    return pb.Sticky(header=sticky.header) if sticky.header else pb.Sticky(source_ip=True)


def get(model: str) -> Call[pb.Route]:
    """The route of a model."""
    return Call(SERVICE + "GetRoute", pb.GetRouteRequest(name=names.route(model)), pb.Route)


def list_all(page_size: int) -> Listing[pb.Route]:
    """All routes."""

    def page(token: str) -> Call[pb.ListRoutesResponse]:
        request = pb.ListRoutesRequest(page_size=page_size, page_token=token)
        return Call(SERVICE + "ListRoutes", request, pb.ListRoutesResponse)

    return Listing(page, "routes")


def update(route: pb.Route, allow_missing: bool) -> Call[pb.Route]:
    """Replaces the route as a whole."""
    request = pb.UpdateRouteRequest(route=route, allow_missing=allow_missing)
    return Call(SERVICE + "UpdateRoute", request, pb.Route)


def set_weights(model: str, weights: Mapping[int, int], etag: str) -> Call[pb.Route]:
    """Only the weights; versions that are not named get 0."""
    request = pb.SetWeightsRequest(name=names.route(model), versions=_weighted(weights), etag=etag)
    return Call(SERVICE + "SetWeights", request, pb.Route)


def delete(model: str, etag: str) -> Call[pb.DeleteRouteResponse]:
    """Takes the route away: the model gets no traffic."""
    request = pb.DeleteRouteRequest(name=names.route(model), etag=etag)
    return Call(SERVICE + "DeleteRoute", request, pb.DeleteRouteResponse)


def watch(model: str | None) -> Watch[pb.WatchRoutesResponse]:
    """The routes now and at each change."""
    request = pb.WatchRoutesRequest(name=names.route(model) if model else "")
    return Watch(Call(SERVICE + "WatchRoutes", request, pb.WatchRoutesResponse, None))


def list_gateways() -> Call[pb.ListGatewaysResponse]:
    """The gateways, and whether each has the newest routes."""
    return Call(SERVICE + "ListGateways", pb.ListGatewaysRequest(), pb.ListGatewaysResponse)
