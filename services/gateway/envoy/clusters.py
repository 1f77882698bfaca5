"""Envoy's clusters: one a set of nodes and protocol, one a service of ours, one for the platform's own answers."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from services.gateway.envoy.answers import Json, typed
from services.gateway.envoy.limits import Limits
from services.gateway.envoy.paths import PLATFORM_CLUSTER, WRAPPED_CLUSTER, service_cluster
from services.gateway.envoy.snapshot import HTTP_SUFFIX, SET_PREFIX, Endpoint, Node

KIND = "envoy.config.cluster.v3.Cluster"
_PROTOCOL = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"

# Large tensors and artefacts: a stream may have this much on its way before the peer says more.
STREAM_WINDOW, CONNECTION_WINDOW = 1 << 20, 1 << 24

_PROBE: Json = {
    "timeout": "1s",
    "interval": "1s",
    "no_traffic_interval": "1s",
    "unhealthy_threshold": 2,
    "healthy_threshold": 1,
}

# Errors that a node answers with are its models' affair: one bad model must not take its neighbours away. Only what
# the node does not answer counts, and never all nodes of a set.
_EJECTION: Json = {
    "split_external_local_origin_errors": True,
    "consecutive_local_origin_failure": 5,
    "enforcing_consecutive_local_origin_failure": 100,
    "enforcing_local_origin_success_rate": 0,
    "enforcing_consecutive_5xx": 0,
    "enforcing_consecutive_gateway_failure": 0,
    "enforcing_success_rate": 0,
    "interval": "1s",
    "base_ejection_time": "5s",
    "max_ejection_percent": 50,
}


def node_clusters(name: str, nodes: Iterable[Node], limits: Limits) -> list[Json]:
    """The cluster of a set of nodes and its HTTP twin."""
    members = list(nodes)
    grpc = [node.grpc for node in members]
    http = [node.http for node in members if node.http]
    health = {**_PROBE, "grpc_health_check": {}}
    http_health = {**_PROBE, "http_health_check": {"path": "/v2/health/ready"}}
    return [
        _nodes(name, grpc, health, limits) | http2(),
        _nodes(name + HTTP_SUFFIX, http, http_health, limits),
    ]


def node_sets_in(file: Path) -> dict[str, list[Json]]:
    """The sets of nodes in a file of clusters: name, and its clusters as they are; none without a readable file."""
    sets: dict[str, list[Json]] = {}
    try:
        for cluster in json.loads(file.read_bytes())["resources"]:
            if cluster["name"].startswith(SET_PREFIX):
                sets.setdefault(cluster["name"].removesuffix(HTTP_SUFFIX), []).append(cluster)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}
    return sets


def service_clusters(services: Mapping[str, Sequence[Endpoint]], names: Iterable[str], tls: Json | None) -> list[Json]:
    """One for every API, also for those nobody serves yet: their calls answer UNAVAILABLE."""
    return [service(service_cluster(name), services.get(name, ()), tls) for name in names]


def platform_clusters() -> list[Json]:
    """Lead back into this Envoy: to the platform's own answers, and to those answers as gRPC."""
    return [_internal(PLATFORM_CLUSTER), _internal(WRAPPED_CLUSTER) | http2()]


def _internal(name: str) -> Json:
    """The listener of the same name inside this Envoy."""
    address = {"envoy_internal_address": {"server_listener_name": name}}
    raw = typed("envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer")
    inner = {"name": "envoy.transport_sockets.raw_buffer", "typed_config": raw}
    kind = "envoy.extensions.transport_sockets.internal_upstream.v3.InternalUpstreamTransport"
    return {
        **_base(name, "STATIC"),
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}],
        },
        "transport_socket": {
            "name": "envoy.transport_sockets.internal_upstream",
            "typed_config": typed(kind, transport_socket=inner),
        },
    }


def _nodes(name: str, endpoints: Sequence[Endpoint], health: Json, limits: Limits) -> Json:
    return {
        **static(name, endpoints),
        "lb_policy": "LEAST_REQUEST",
        "health_checks": [health],
        "outlier_detection": _EJECTION,
        # Without this, a set of which most are ill would get traffic on the ill ones too.
        "common_lb_config": {"healthy_panic_threshold": {"value": 0}},
        "close_connections_on_host_health_failure": True,
        "circuit_breakers": {
            "thresholds": [
                {
                    "max_connections": limits.requests,
                    "max_pending_requests": limits.requests,
                    "max_requests": limits.requests,
                    "retry_budget": {"budget_percent": {"value": 20}, "min_retry_concurrency": 3},
                }
            ]
        },
    }


def service(name: str, endpoints: Sequence[Endpoint], tls: Json | None) -> Json:
    """A cluster of instances of a service of ours."""
    cluster = static(name, endpoints) | http2() | {"lb_policy": "ROUND_ROBIN"}
    cluster["outlier_detection"] = _EJECTION
    cluster["common_lb_config"] = {"healthy_panic_threshold": {"value": 0}}
    return cluster | ({"transport_socket": tls} if tls else {})


def static(name: str, endpoints: Sequence[Endpoint]) -> Json:
    """A cluster of these addresses, and nothing else about it."""
    addresses = all(_is_ip(endpoint.host) for endpoint in endpoints)
    return {
        **_base(name, "STATIC" if addresses else "STRICT_DNS"),
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": _address(e)}} for e in endpoints]}],
        },
    }


def _base(name: str, kind: str) -> Json:
    # Dots would end the cluster's name where Envoy takes the label out of a statistic.
    return {
        "@type": f"type.googleapis.com/{KIND}",
        "name": name,
        "alt_stat_name": name.replace(".", "_").replace(":", "_"),
        "connect_timeout": "1s",
        "type": kind,
        "per_connection_buffer_limit_bytes": STREAM_WINDOW,
    }


def http2(keepalive: str = "30s", timeout: str = "10s", filters: Sequence[Json] = ()) -> Json:
    """The part of a cluster by which it speaks HTTP/2; a connection whose pings are not answered is closed."""
    options = {
        "initial_stream_window_size": STREAM_WINDOW,
        "initial_connection_window_size": CONNECTION_WINDOW,
        "connection_keepalive": {"interval": keepalive, "timeout": timeout},
    }
    explicit = typed(_PROTOCOL, explicit_http_config={"http2_protocol_options": options})
    if filters:
        explicit["http_filters"] = list(filters)
    return {"typed_extension_protocol_options": {_PROTOCOL: explicit}}


def _address(endpoint: Endpoint) -> Json:
    return {"socket_address": {"address": endpoint.host, "port_value": endpoint.port}}


def _is_ip(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
