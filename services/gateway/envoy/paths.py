"""The rest of the route table: what a request meets that no model's entry took.

A request for a model passes here twice. First, without the header that names its entry: it gets the limits of a request
that is still being read. Then, after the script set the header, only if there is no such entry.
"""

from __future__ import annotations

from collections.abc import Iterable

from services.gateway.envoy import capture
from services.gateway.envoy.answers import (
    IS_GRPC,
    MODEL_HEADER,
    NOT_FOUND,
    PERMISSION_DENIED,
    UNIMPLEMENTED,
    Json,
    refusal,
    typed,
)
from services.gateway.envoy.limits import Limits, seconds
from services.gateway.envoy.script import passing

INFERENCE = "/inference.GRPCInferenceService/"
PLATFORM_CLUSTER = "platform"
# The same answers, made into gRPC on the way. For calls whose first route does not tell yet that they go there: which
# filters run is settled by the first route.
WRAPPED_CLUSTER = "platform-grpc"
EXTRACTION = "envoy.filters.http.grpc_field_extraction"
TRANSCODER = "envoy.filters.http.grpc_json_transcoder"
BRIDGE = "envoy.filters.http.grpc_http1_reverse_bridge"

DEPLOY = "models are put on nodes by deployments (bmase deploy), not through the inference protocol"
LOCAL = "shared memory belongs to one machine and a model may run on any: send tensors in the request"
SETTINGS = "tracing and logging of the serving nodes are set by their operator"
NOT_SERVED = (
    "'%REQ(x-bmase-model):80%' is not served: no model of this name is deployed, or not in this version;"
    " RepositoryIndex lists what is"
)
HTTP_NOT_SERVED = (
    "nothing is served at '%REQ(:path):200%': no model of this name is deployed, or not in this version, or the path"
    " is not one of the Open Inference Protocol; POST /v2/repository/index lists what is"
)

# Who answers at the server's level: Envoy, for the platform as a whole.
PLATFORM_CALLS = (
    f"{INFERENCE}ServerLive",
    f"{INFERENCE}ServerReady",
    f"{INFERENCE}ServerMetadata",
    "/grpc.health.v1.Health/Check",
)
INDEX = f"{INFERENCE}RepositoryIndex"
PLATFORM_PATHS = ("/v2", "/v2/", "/v2/health/live", "/v2/health/ready")


def fallthrough(services: Iterable[str], limits: Limits, sampled: float = 0.0) -> list[Json]:
    """All routes outside the models' map, first match wins; `services` are the packages of the platform's own APIs.

    `sampled` percent of the inference requests pass the sampler.
    """
    routes = [*_reading(limits, sampled), *_platform(), *_refused_grpc()]
    routes += [_service(name) for name in services]
    routes += [*_rest_api(), *_refused_http(), *_last()]
    return routes


def service_cluster(name: str) -> str:
    """The cluster of one of the platform's services."""
    return f"service:{name}"


def not_ready(name: str) -> Json:
    """Asked whether it is ready, what is not served is not an error: a client that waits for a model asks just this."""
    forward = {"cluster": WRAPPED_CLUSTER, "timeout": "5s"}
    return {"name": name, "match": {"path": f"{INFERENCE}ModelReady"}, "route": forward}


def _through(*filters: str, script: str = "") -> Json:
    """The part of a route by which its requests pass filters that are off elsewhere, and one of the scripts."""
    on = typed("envoy.config.route.v3.FilterConfig", config={})
    return {"typed_per_filter_config": dict.fromkeys(filters, on) | (passing(script) if script else {})}


def _reading(limits: Limits, sampled: float) -> list[Json]:
    """Requests whose model is not known yet. Their cluster does not exist: the script sends nobody there."""
    calls = f"{INFERENCE}Model"
    infer: Json = {"name": ":path", "string_match": {"suffix": "/infer"}}

    def reading(match: Json, through: Json, *headers: Json, **action: Json) -> Json:
        unnamed = {"name": MODEL_HEADER, "present_match": True, "invert_match": True}
        route = {"cluster": "reading", **action}
        return {"name": "(reading)", "match": {**match, "headers": [unnamed, *headers]}, "route": route, **through}

    in_time: Json = {"max_stream_duration": {"max_stream_duration": seconds(limits.receive)}}
    by_chance = capture.chance(sampled)
    shown = [
        reading({"path": f"{calls}Infer"} | by_chance, _through(capture.SAMPLER, script="unary"), **in_time),
        reading({"prefix": "/v2/models/"} | by_chance, _through(capture.SAMPLER, script="http"), infer, **in_time),
    ]
    return [
        *(shown if sampled > 0 else []),
        reading({"path": f"{calls}Infer"}, _through(script="unary"), **in_time),
        reading({"path": f"{calls}StreamInfer"}, _through(EXTRACTION, script="stream")),
        reading({"prefix": calls}, _through(script="unary"), **in_time),
        not_ready("(not found)"),
        {"name": "(not found)", "match": {"prefix": calls}, **refusal(404, NOT_FOUND, NOT_SERVED)},
        reading({"prefix": "/v2/models/"}, _through(script="http"), **in_time),
        {"name": "(not found)", "match": {"prefix": "/v2/models"}, **refusal(404, "", HTTP_NOT_SERVED)},
    ]


def _platform() -> list[Json]:
    forward = {"cluster": PLATFORM_CLUSTER, "timeout": "5s"}

    def answered(path: str, through: Json) -> Json:
        return {"name": "(platform)", "match": {"path": path}, "route": forward, **through}

    return [
        answered(INDEX, _through(BRIDGE, script="index")),
        answered("/v2/repository/index", _through(script="index")),
        *(answered(path, _through(BRIDGE)) for path in PLATFORM_CALLS),
        *(answered(path, {}) for path in PLATFORM_PATHS),
    ]


def _refused_grpc() -> list[Json]:
    def refused(method: str, code: str, text: str) -> Json:
        return {"name": "(refused)", "match": {"prefix": INFERENCE + method}, **refusal(403, code, text)}

    unknown = refusal(404, UNIMPLEMENTED, "the Open Inference Protocol has no such method")
    return [
        refused("RepositoryModel", PERMISSION_DENIED, DEPLOY),
        refused("SystemSharedMemory", UNIMPLEMENTED, LOCAL),
        refused("CudaSharedMemory", UNIMPLEMENTED, LOCAL),
        refused("TraceSetting", PERMISSION_DENIED, SETTINGS),
        refused("LogSettings", PERMISSION_DENIED, SETTINGS),
        {"name": "(refused)", "match": {"prefix": INFERENCE}, **unknown},
    ]


def _service(name: str) -> Json:
    """Calls and streams of one of the platform's own APIs; deadlines are the client's, streams may rest."""
    return {
        "name": f"({name})",
        "match": {"prefix": f"/bmase.{name}.v1."},
        "route": {"cluster": service_cluster(name), "timeout": "0s", "idle_timeout": "0s"},
    }


def _rest_api() -> list[Json]:
    """REST is turned into gRPC before the route is looked up again; what stays here has no binding."""
    unknown = refusal(404, NOT_FOUND, "the API has no '%REQ(:method)% %REQ(:path):200%'; see docs/reference")
    return [
        {"name": "(api)", "match": {"prefix": "/api/"}, **_through(TRANSCODER), **unknown},
        {
            "name": "(reflection)",
            "match": {"prefix": "/grpc.reflection."},
            "route": {"cluster": service_cluster("gateway"), "timeout": "0s"},
        },
    ]


def _refused_http() -> list[Json]:
    def refused(prefix: str, status: int, text: str) -> Json:
        return {"name": "(refused)", "match": {"prefix": prefix}, **refusal(status, "", text)}

    return [
        refused("/v2/repository/models/", 403, DEPLOY),
        refused("/v2/systemsharedmemory", 501, LOCAL),
        refused("/v2/cudasharedmemory", 501, LOCAL),
        refused("/v2/trace/setting", 403, SETTINGS),
        refused("/v2/logging", 403, SETTINGS),
    ]


def _last() -> list[Json]:
    method = refusal(404, UNIMPLEMENTED, "there is no method '%REQ(:path):200%' here")
    path = refusal(404, "", "there is nothing at '%REQ(:path):200%': inference is under /v2, the API under /api/v1")
    return [
        {"name": "(nothing)", "match": {"prefix": "/", "headers": [IS_GRPC]}, **method},
        {"name": "(nothing)", "match": {"prefix": "/"}, **path},
    ]
