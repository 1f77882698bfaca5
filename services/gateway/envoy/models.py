"""The entries of the route table that belong to one model."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache

from services.gateway.envoy import capture, wire
from services.gateway.envoy.answers import (
    GRPC,
    HTTP,
    NOT_FOUND,
    UNAVAILABLE,
    VERSION_HEADER,
    Door,
    Json,
    extension,
    header,
    refusal,
    typed,
)
from services.gateway.envoy.capture import BY_OVERRIDE, BY_VERSION, BY_WEIGHT, Sampling
from services.gateway.envoy.limits import Limits, seconds
from services.gateway.envoy.paths import not_ready
from services.gateway.envoy.snapshot import ModelRoute, Target, runtime_prefix

ROUTE, ROUTE_LIST = "envoy.config.route.v3.Route", "envoy.config.route.v3.RouteList"
NONE_SHOWN = Sampling()
_NAMED = wire.field("Extension", "name", "route")
_NAMED_LIST = wire.field("Extension", "name", "routes")

# Only failures in which no node has begun to work, and UNAVAILABLE, by which a node says so itself.
RETRY_ON = "connect-failure,refused-stream,unavailable,reset-before-request"


def entries(route: ModelRoute, limits: Limits, shares: Sampling = NONE_SHOWN) -> Iterator[tuple[str, Json]]:
    """Keys of the table and what they lead to: the model, and each of its versions, by either door."""
    for door, version, routes in _routes(route, limits, shares):
        yield door.key_prefix + route.model + version, _action(routes)


def _routes(route: ModelRoute, limits: Limits, shares: Sampling) -> Iterator[tuple[Door, str, list[Json]]]:
    """By door and by what follows the model's name in the key: nothing, or a version."""
    for door in (GRPC, HTTP):
        yield door, "", capture.thinned(_by_weight(route, door, limits), route.capture, shares)
        for target in route.targets:
            named = _to(route, target, door, limits, BY_VERSION)
            yield door, f"/{target.version}", capture.thinned([named], route.capture, shares)


def encoded(route: ModelRoute, limits: Limits, shares: Sampling = NONE_SHOWN) -> bytes:
    """The same as bytes, ready to be concatenated into the table's map."""
    if route.overrides or not any(route.weights):
        made: Iterator[tuple[str, bytes]] = (
            (key, wire.encode("OnMatch", on_match)) for key, on_match in entries(route, limits, shares)
        )
    else:
        made = _from_stencils(route, limits, shares)
    return b"".join(wire.map_entry("MatchMap", "map", key, on_match) for key, on_match in made)


@dataclass(frozen=True, slots=True)
class Stencil:
    """One entry of a model without a name: encoded Routes, and of each whether it splits by weights."""

    door: Door
    version: str
    routes: tuple[tuple[bytes, bool], ...]


@lru_cache(maxsize=4096)
def _stencils(nameless: ModelRoute, limits: Limits, shares: Sampling) -> tuple[Stencil, ...]:
    """Most models are on the same few sets of nodes with the same few weights: of those only names differ."""
    made = []
    for door, version, routes in _routes(nameless, limits, shares):
        encoded_routes = ((wire.encode(ROUTE, route), "weighted_clusters" in route["route"]) for route in routes)
        made.append(Stencil(door, version, tuple(encoded_routes)))
    return tuple(made)


def _from_stencils(route: ModelRoute, limits: Limits, shares: Sampling) -> Iterator[tuple[str, bytes]]:
    """A field that comes twice in protobuf counts as its last value, a message as both together: so names are added."""
    name = wire.field(ROUTE, "name", route.model)
    prefix = wire.field("WeightedClusters", "runtime_key_prefix", runtime_prefix(route))
    split = name + wire.nested(ROUTE, "route", wire.nested("RouteAction", "weighted_clusters", prefix))
    for stencil in _stencils(replace(route, model=""), limits, shares):
        action = _encoded_action([data + (split if splits else name) for data, splits in stencil.routes])
        yield stencil.door.key_prefix + route.model + stencil.version, wire.nested("OnMatch", "action", action)


def _encoded_action(routes: list[bytes]) -> bytes:
    """As `_action`."""
    if len(routes) == 1:
        return _NAMED + wire.nested("Extension", "typed_config", wire.packed(ROUTE, routes[0]))
    listed = b"".join(wire.nested(ROUTE_LIST, "routes", route) for route in routes)
    return _NAMED_LIST + wire.nested("Extension", "typed_config", wire.packed(ROUTE_LIST, listed))


def retry_policy(retries: int) -> Json:
    """Up to so many more tries, each on another node."""
    return {
        "retry_on": RETRY_ON,
        "num_retries": retries,
        "retry_host_predicate": [
            extension(
                "envoy.retry_host_predicates.previous_hosts",
                "envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate",
            )
        ],
        "host_selection_retry_max_attempts": 3,
        "retry_back_off": {"base_interval": "0.025s", "max_interval": "0.25s"},
    }


def _action(routes: list[Json]) -> Json:
    if len(routes) == 1:
        return {"action": {"name": "route", "typed_config": typed(ROUTE, **routes[0])}}
    return {"action": {"name": "routes", "typed_config": typed(ROUTE_LIST, routes=routes)}}


def _by_weight(route: ModelRoute, door: Door, limits: Limits) -> list[Json]:
    overridden = [
        _to(route, target, door, limits, BY_OVERRIDE, when=_matches(override.header, override.value))
        for override in route.overrides
        if (target := route.target(override.version)) is not None
    ]
    return [*overridden, *_rest(route, door, limits)]


def _rest(route: ModelRoute, door: Door, limits: Limits) -> list[Json]:
    asked_whether_ready = [not_ready(route.model)] if door is GRPC else []
    if not route.routed:
        why = "is deployed but has no route: name a version, or give it a route with RouteService"
        return [*asked_whether_ready, _answer(route, 404, NOT_FOUND, why)]
    if not any(route.weights):
        why = "has a route, but none of its versions with traffic is on a node now"
        return [*asked_whether_ready, _answer(route, 503, UNAVAILABLE, why)]
    if len(route.targets) == 1:
        return [_to(route, route.targets[0], door, limits, BY_WEIGHT, mirrored=True)]
    return [_split(route, door, limits)]


def _split(route: ModelRoute, door: Door, limits: Limits) -> Json:
    clusters = [
        {
            "name": target.cluster + door.cluster_suffix,
            "weight": weight,
            "response_headers_to_add": [header(VERSION_HEADER, str(target.version))],
        }
        for target, weight in zip(route.targets, route.weights, strict=True)
    ]
    weighted: Json = {"clusters": clusters, "runtime_key_prefix": runtime_prefix(route)}
    action = _forward(route, limits) | {"weighted_clusters": weighted} | _mirror(route, door)
    if hashing := _hash_policy(route):
        weighted["use_hash_policy"] = True
        action["hash_policy"] = hashing
    facts = capture.facts(BY_WEIGHT, route.capture, _sticks_to(route))
    return {"name": route.model, "match": {"prefix": "/"}, "route": action, **facts}


def _to(
    route: ModelRoute,
    target: Target,
    door: Door,
    limits: Limits,
    via: str,
    *,
    when: Json | None = None,
    mirrored: bool = False,
) -> Json:
    match: Json = {"prefix": "/"} | (when or {})
    action = _forward(route, limits) | {"cluster": target.cluster + door.cluster_suffix}
    return {
        "name": route.model,
        "match": match,
        "route": action | (_mirror(route, door) if mirrored else {}),
        "response_headers_to_add": [header(VERSION_HEADER, str(target.version))],
        **capture.facts(via, route.capture),
    }


def _forward(route: ModelRoute, limits: Limits) -> Json:
    action: Json = {"timeout": seconds(limits.timeout if route.timeout is None else route.timeout)}
    if route.retries:
        action["retry_policy"] = retry_policy(max(route.retries, 0))
    return action


def _matches(name: str, value: str) -> Json:
    return {"headers": [{"name": name, **({"string_match": {"exact": value}} if value else {"present_match": True})}]}


def _hash_policy(route: ModelRoute) -> list[Json]:
    if route.sticky_header:
        return [{"header": {"header_name": route.sticky_header}}]
    return [{"connection_properties": {"source_ip": True}}] if route.sticky_source_ip else []


def _sticks_to(route: ModelRoute) -> str:
    return route.sticky_header or (capture.BY_ADDRESS if route.sticky_source_ip else "")


def _mirror(route: ModelRoute, door: Door) -> Json:
    target = route.mirror and route.target(route.mirror.version)
    if not route.mirror or not target:
        return {}
    fraction = {"numerator": max(1, round(route.mirror.percent * 10_000)), "denominator": "MILLION"}
    cluster = target.cluster + door.cluster_suffix
    return {"request_mirror_policies": [{"cluster": cluster, "runtime_fraction": {"default_value": fraction}}]}


def _answer(route: ModelRoute, status: int, grpc_status: str, why: str) -> Json:
    return {
        "name": route.model,
        "match": {"prefix": "/"},
        **refusal(status, grpc_status, f"model '{route.model}' {why}"),
    }
