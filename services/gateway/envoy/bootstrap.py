"""What Envoy starts with: where its files are, its admin interface, and how much it may use."""

from __future__ import annotations

from services.gateway.envoy.answers import Json, extension
from services.gateway.envoy.limits import Limits
from services.gateway.envoy.listener import STATS_PREFIX, Files, watched
from services.gateway.envoy.snapshot import Endpoint

WEIGHTS = "weights"

# Milliseconds; from a cache hit to a slow language model.
BUCKETS = [1, 2, 3, 5, 7, 10, 15, 25, 50, 75, 100, 150, 250, 500, 750, 1000, 2500, 5000, 10000, 30000, 60000]


def bootstrap(node: str, admin: Endpoint, files: Files, limits: Limits) -> Json:
    """Everything else comes from the files, which Envoy watches."""
    runtime = {"name": WEIGHTS, "rtds_layer": {"name": WEIGHTS, "rtds_config": watched(files.weights)}}
    return {
        "node": {"id": node, "cluster": "bmase"},
        "admin": {"address": {"socket_address": {"address": admin.host, "port_value": admin.port}}},
        "dynamic_resources": {"lds_config": watched(files.listeners), "cds_config": watched(files.clusters)},
        "layered_runtime": {"layers": [runtime]},
        "bootstrap_extensions": [
            extension(
                "envoy.bootstrap.internal_listener", "envoy.extensions.bootstrap.internal_listener.v3.InternalListener"
            )
        ],
        "stats_flush_interval": "1s",
        "stats_config": {
            "histogram_bucket_settings": [{"match": {"prefix": STATS_PREFIX}, "buckets": BUCKETS}],
        },
        "overload_manager": _overload(limits),
    }


def _overload(limits: Limits) -> Json:
    """Near its limit Envoy first gives memory back, then refuses new requests, and new connections last."""
    heap = "envoy.resource_monitors.fixed_heap"
    connections = "envoy.resource_monitors.global_downstream_max_connections"

    def above(share: float) -> list[Json]:
        return [{"name": heap, "threshold": {"value": share}}]

    return {
        "refresh_interval": "0.25s",
        "resource_monitors": [
            extension(
                heap,
                "envoy.extensions.resource_monitors.fixed_heap.v3.FixedHeapConfig",
                max_heap_size_bytes=limits.heap_bytes,
            ),
            extension(
                connections,
                "envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig",
                max_active_downstream_connections=limits.connections,
            ),
        ],
        "actions": [
            {"name": "envoy.overload_actions.shrink_heap", "triggers": above(0.9)},
            {"name": "envoy.overload_actions.stop_accepting_requests", "triggers": above(0.95)},
            {"name": "envoy.overload_actions.stop_accepting_connections", "triggers": above(0.98)},
        ],
    }
