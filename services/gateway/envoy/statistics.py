"""Envoy's counters for others: one page of the admin interface, read-only, at an address of its own.

The admin interface itself can stop Envoy, so it stays on loopback.
"""

from __future__ import annotations

from services.gateway.envoy.answers import Json, extension
from services.gateway.envoy.clusters import static
from services.gateway.envoy.snapshot import Endpoint

NAME = "statistics"
CLUSTER = "admin"
PATH = "/stats/prometheus"


def listener(address: Endpoint) -> Json:
    """Answers GET of the one page, and 404 to everything else."""
    get = {"name": ":method", "string_match": {"exact": "GET"}}
    page = {"match": {"path": PATH, "headers": [get]}, "route": {"cluster": CLUSTER, "timeout": "30s"}}
    rest = {"match": {"prefix": "/"}, "direct_response": {"status": 404}}
    manager = extension(
        "envoy.filters.network.http_connection_manager",
        "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        stat_prefix=NAME,
        route_config={"name": NAME, "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [page, rest]}]},
        http_filters=[
            extension(
                "envoy.filters.http.router", "envoy.extensions.filters.http.router.v3.Router", dynamic_stats=False
            )
        ],
        generate_request_id=False,
        stream_idle_timeout="60s",
        request_headers_timeout="10s",
        common_http_protocol_options={"idle_timeout": "300s"},
    )
    return {
        "@type": "type.googleapis.com/envoy.config.listener.v3.Listener",
        "name": NAME,
        "address": {"socket_address": {"address": address.host, "port_value": address.port}},
        "filter_chains": [{"filters": [manager]}],
    }


def cluster(admin: Endpoint) -> Json:
    """The admin interface."""
    return static(CLUSTER, [admin])
