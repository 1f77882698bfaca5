"""What the platform answers about itself, as bytes that Envoy holds: live, ready, metadata, and the index of models.

They are served by a second listener inside Envoy, because a direct response to a gRPC call can only be a status: there
the request is plain HTTP, and the first listener's bridge puts the bytes into a gRPC message.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from typing import Any

from grpc_health.v1 import health_pb2
from tritonclient.grpc import service_pb2

from services.gateway.envoy import wire
from services.gateway.envoy.answers import Json, header
from services.gateway.envoy.paths import INFERENCE
from services.gateway.envoy.snapshot import ModelRoute
from services.gateway.envoy.table import KIND

NAME = "platform"
SERVER = "bmase"
EXTENSIONS = ("model_configuration", "model_repository(index)", "sequence", "statistics", "binary_tensor_data")
GRPC_BYTES, JSON_TEXT = "application/x-protobuf", "application/json"
# An empty message as bytes. Envoy gives an answer without a body no content-type, and the bridge wants one: so it holds
# a field that no message has, which protobuf's readers pass over.
NOTHING = b"\xf8\x7f\x00"  # field 2047, varint 0
READY, UNAVAILABLE = "READY", "UNAVAILABLE"


def file(models: Mapping[str, ModelRoute]) -> tuple[str, bytes]:
    """The version, which names the content, and the file that Envoy reads."""
    routes = [*_server(), *_index(models)]
    largest = max(len(r["direct_response"].get("body", {}).get("inline_bytes", "")) for r in routes)
    configuration: Json = {
        "name": NAME,
        "virtual_hosts": [{"name": "platform", "domains": ["*"], "routes": routes}],
        "max_direct_response_body_size_bytes": largest + 1024,
    }
    body = wire.encode(KIND, configuration)
    return hashlib.sha256(body).hexdigest()[:16], wire.discovery(hashlib.sha256(body).hexdigest()[:16], [body], KIND)


def _server() -> Iterator[Json]:
    metadata: dict[str, Any] = {"name": SERVER, "version": version("bmase"), "extensions": list(EXTENSIONS)}
    yield _answer(f"{INFERENCE}ServerLive", service_pb2.ServerLiveResponse(live=True).SerializeToString())
    yield _answer(f"{INFERENCE}ServerReady", service_pb2.ServerReadyResponse(ready=True).SerializeToString())
    yield _answer(f"{INFERENCE}ServerMetadata", service_pb2.ServerMetadataResponse(**metadata).SerializeToString())
    # Of what is served the nodes say it themselves.
    yield _answer(f"{INFERENCE}ModelReady", service_pb2.ModelReadyResponse(ready=False).SerializeToString())
    serving = health_pb2.HealthCheckResponse(status=health_pb2.HealthCheckResponse.SERVING)
    yield _answer("/grpc.health.v1.Health/Check", serving.SerializeToString())
    for path in ("/v2/health/live", "/v2/health/ready"):
        yield {"match": {"path": path}, "direct_response": {"status": 200}}
    for path in ("/v2", "/v2/"):
        yield _answer(path, json.dumps(metadata).encode(), JSON_TEXT)


def _index(models: Mapping[str, ModelRoute]) -> Iterator[Json]:
    rows = list(rows_of(models))
    ready = [row for row in rows if row["state"] == READY]
    for listed, when in ((ready, "ready"), (rows, "")):
        message = service_pb2.RepositoryIndexResponse()
        for row in listed:
            message.models.add(**row)
        yield _answer(f"{INFERENCE}RepositoryIndex", message.SerializeToString(), when=when)
        yield _answer("/v2/repository/index", json.dumps(listed).encode(), JSON_TEXT, when)


def rows_of(models: Mapping[str, ModelRoute]) -> Iterator[dict[str, str]]:
    """One row a routed model's version that is on a node, or one that says that none is."""
    for name in sorted(models):
        route = models[name]
        if not route.routed:
            continue
        for target in route.targets:
            yield {"name": name, "version": str(target.version), "state": READY, "reason": ""}
        if not any(route.weights):
            why = "no version with traffic is on a node"
            yield {"name": name, "version": "", "state": UNAVAILABLE, "reason": why}


def _answer(path: str, body: bytes, kind: str = GRPC_BYTES, when: str = "") -> Json:
    match: Json = {"path": path}
    if when:
        match["headers"] = [{"name": "x-bmase-index", "string_match": {"exact": when}}]
    return {
        "match": match,
        "direct_response": {"status": 200, "body": {"inline_bytes": base64.b64encode(body or NOTHING).decode()}},
        "response_headers_to_add": [header("content-type", kind)],
    }
