"""What the monitor is shown: a share of the requests with their answers, and bad requests of models under judgement.

Neither is ever waited for. Pairs go out by `ext_proc`, which only looks on; bad requests by an access log. The bounds
of their clusters are what a monitor that is slow, hung or gone can cost.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import floor

from services.gateway.envoy.answers import IS_GRPC, VERSION_HEADER, Json, extension, header, typed
from services.gateway.envoy.clusters import http2, service
from services.gateway.envoy.snapshot import Capture, Endpoint, ModelRoute

MONITOR = "monitor"
# One for pairs and one for bad requests: however many pairs wait, bad requests get through.
PAIRS, EVENTS = "monitor-pairs", "monitor-events"
SAMPLER = "envoy.filters.http.ext_proc"
NAMESPACE = "bmase"
BY_WEIGHT, BY_VERSION, BY_OVERRIDE = "weight", "version", "override"
BY_ADDRESS = "source address"

# The runtime key of the least duration, in ms, that is slow for any model.
SLOW_KEY = "capture.slow_ms"
NEVER = 2**32 - 1
TOKEN_VARIABLE = "BMASE_GATEWAY_MONITOR_TOKEN"  # noqa: S105 - its name, not a token

_SAMPLER = "envoy.extensions.filters.http.ext_proc.v3."
_VIA = f"xds.route_metadata.filter_metadata['{NAMESPACE}']['via']"
# All that the monitor is told besides bodies. Each message costs it about as much as all that is in them, so of a
# request there is only the body, with what else there is to know in its attributes.
_ASKED = (
    *("content-type", "content-encoding", "inference-header-content-length"),
    *("x-bmase-client", "x-bmase-tenant", "x-request-id"),
)
_STICKY = f"xds.route_metadata.filter_metadata['{NAMESPACE}']['sticky']"
_STICKY_KEY = f"request.headers[{_STICKY}]"
_ATTRIBUTES = [
    "xds.route_name",
    _VIA,
    "source.address",
    _STICKY,
    _STICKY_KEY,
    *(f"request.headers['{name}']" for name in _ASKED),
]
_ANSWERED = (":status", "content-encoding", "grpc-status", "inference-header-content-length", VERSION_HEADER)

# Sampled requests whose pieces may be on their way to the monitor at once; more are not sampled.
STREAMS = 64
# Bad requests are sent when so many bytes of them have come together, or after so long.
EVENT_BYTES, EVENT_SECONDS = 64 * 1024, 0.1
# More are not sent; what is counted and not told holds a release up, it never speaks for it.
EVENTS_PER_SECOND = 2000
# What one connection may hold back for the monitor before a *client's* connection would be held back: never.
UNHELD_BYTES = 1 << 30


@dataclass(frozen=True, slots=True)
class Source:
    """Who shows: the gateway's name, and whether the monitor asks for a token (found in TOKEN_VARIABLE)."""

    name: str
    token: bool = False


@dataclass(frozen=True, slots=True)
class Sampling:
    """Of which share of the requests pairs are shown, in percent.

    percent    of models that say nothing themselves
    top        the greatest of any model: this share of all requests passes the sampler, and models thin it out
    """

    percent: float = 0.0
    top: float = 0.0

    def of(self, capture: Capture) -> float:
        """The share of one model."""
        return self.percent if capture.percent is None else capture.percent


def sampling(models: Iterable[ModelRoute], percent: float) -> Sampling:
    """By what each model says, and the default of the gateway."""
    asked = (route.capture.percent for route in models)
    return Sampling(percent, max((share for share in asked if share is not None), default=percent))


def slow_key(models: Iterable[ModelRoute]) -> dict[str, int]:
    """The runtime key with the least duration that is slow for a model under judgement; nothing when none is."""
    slow = [route.capture.slow_ms for route in models if route.capture.judged and route.capture.slow_ms > 0]
    return {SLOW_KEY: floor(min(slow))} if slow else {}


def chance(percent: float) -> Json:
    """A condition that holds for this share of the requests.

    Envoy draws one number a request and takes it modulo 10,000 here, modulo the sum of the weights where it chooses a
    version: that sum has no common divisor with 10,000, so what is sampled says nothing about the version.
    """
    fraction = {"numerator": max(1, round(percent * 100)), "denominator": "TEN_THOUSAND"}
    return {"runtime_fraction": {"default_value": fraction}}


def facts(via: str, capture: Capture, sticky: str = "") -> Json:
    """What the log and the sampler shall know of a route; `sticky`: the header that it hashes, or BY_ADDRESS.

    Who is a client must be what the version was chosen by: other names are free to invent.
    """
    said = {"via": via} | ({"sticky": sticky} if sticky else {})
    if capture.judged and via == BY_WEIGHT:
        said["judged"] = "yes"
        if capture.slow_ms > 0:
            said["slow"] = f"{capture.slow_ms / 1000:.6f}s"
    return {"metadata": {"filter_metadata": {NAMESPACE: said}}}


def thinned(routes: list[Json], capture: Capture, shares: Sampling) -> list[Json]:
    """The same routes, so that of those requests that reach them past the sampler the model's share is shown."""
    percent = shares.of(capture)
    if percent >= shares.top:
        return routes
    made: list[Json] = []
    for route in routes:
        if "metadata" not in route:
            made.append(route)
            continue
        if percent > 0:
            made.append(route | {"match": route["match"] | chance(percent)})
        made.append(route | {"typed_per_filter_config": {SAMPLER: typed(_SAMPLER + "ExtProcPerRoute", disabled=True)}})
    return made


def sampler(source: Source) -> Json:
    """The filter. It is off; a request's first route switches it on."""
    body = {"request_header_mode": "SKIP", "request_body_mode": "STREAMED", "request_trailer_mode": "SKIP"}
    answer = {"response_header_mode": "SEND", "response_body_mode": "STREAMED", "response_trailer_mode": "SKIP"}
    allowed = [{"exact": name} for name in _ANSWERED]
    return extension(
        SAMPLER,
        _SAMPLER + "ExternalProcessor",
        grpc_service=_to_monitor(PAIRS, source),
        observability_mode=True,
        failure_mode_allow=True,
        deferred_close_timeout="1s",
        processing_mode=body | answer,
        request_attributes=_ATTRIBUTES,
        forward_rules={"allowed_headers": {"patterns": allowed}},
    ) | {"disabled": True}


def allowance() -> Json:
    """How many bad requests are told at most, as a resource in a file of its own."""
    rate = {"max_tokens": EVENTS_PER_SECOND, "tokens_per_fill": EVENTS_PER_SECOND, "fill_interval": "1s"}
    resource = typed("envoy.type.v3.TokenBucket", **rate)
    return typed("envoy.service.discovery.v3.Resource", name=_ALLOWANCE, version="1", resource=resource)


def bad_requests(source: Source, allowance_file: Json) -> Json:
    """The log of bad requests by weight of models under judgement; `allowance_file` is where `allowance` is watched.

    Cheap questions come first: a good request is asked for its status and its duration, nothing else.
    """
    said = {
        "model": "%ROUTE_NAME%",
        "version": f"%RESP({VERSION_HEADER})%",
        "client": "%REQ(x-bmase-client?x-bmase-tenant)%",
        "sticky": f"%METADATA(ROUTE:{NAMESPACE}:sticky)%",
        "sticky_key": f"%CEL({_STICKY_KEY})%",
        "address": "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%",
        "request_id": "%REQ(x-request-id)%",
        "grpc_status": "%GRPC_STATUS(SNAKE_STRING)%",
        "http_code": "%RESPONSE_CODE%",
        "flags": "%RESPONSE_FLAGS%",
        "details": "%RESPONSE_CODE_DETAILS%",
        "duration_ms": "%DURATION%",
    }
    kind = "envoy.extensions.access_loggers.open_telemetry.v3.OpenTelemetryAccessLogConfig"
    log = extension(
        "envoy.access_loggers.open_telemetry",
        kind,
        log_name="bad requests",
        grpc_service=_to_monitor(EVENTS, source) | {"timeout": "1s"},
        buffer_flush_interval=f"{EVENT_SECONDS:g}s",
        buffer_size_bytes=EVENT_BYTES,
        disable_builtin_labels=True,
        resource_attributes=_listed({"gateway": source.name}),
        attributes=_listed(said),
        stat_prefix="capture",
    )
    bad = _any(_all(_failed(), _cel(_JUDGED)), _all(_took_long(), _cel(_SLOW)))
    return log | {"filter": _all(bad, _allowed(allowance_file))}


_ALLOWANCE = "bad requests"
_FACTS = f"xds.route_metadata.filter_metadata['{NAMESPACE}']"
_JUDGED = f"{_FACTS}['judged'] == 'yes'"
_SLOW = f"{_JUDGED} && request.duration >= duration({_FACTS}['slow'])"
_FROM_NODE = "response.code_details == 'via_upstream'"
# What a server does wrong; RESOURCE_EXHAUSTED only when a node said so, for the gateway has limits of its own.
_FAULTS = ["UNKNOWN", "DEADLINE_EXCEEDED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"]


def _failed() -> Json:
    by_grpc: Json = {"header_filter": {"header": IS_GRPC}}
    return _any(
        {"status_code_filter": {"comparison": _at_least(500, "capture.http_code")}},
        _all(by_grpc, {"grpc_status_filter": {"statuses": _FAULTS}}),
        _all(by_grpc, {"grpc_status_filter": {"statuses": ["RESOURCE_EXHAUSTED"]}}, _cel(_FROM_NODE)),
    )


def _took_long() -> Json:
    return {"duration_filter": {"comparison": _at_least(NEVER, SLOW_KEY)}}


def _at_least(value: int, key: str) -> Json:
    return {"op": "GE", "value": {"default_value": value, "runtime_key": key}}


def _cel(expression: str) -> Json:
    kind = "envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter"
    return {
        "extension_filter": extension("envoy.access_loggers.extension_filters.cel", kind, expression=expression),
    }


def _allowed(file: Json) -> Json:
    kind = "envoy.extensions.access_loggers.filters.process_ratelimit.v3.ProcessRateLimitFilter"
    bucket = {"resource_name": _ALLOWANCE, "config_source": file}
    name = "envoy.access_loggers.extension_filters.process_ratelimit"
    return {"extension_filter": extension(name, kind, dynamic_config=bucket)}


def _all(*filters: Json) -> Json:
    return {"and_filter": {"filters": list(filters)}}


def _any(*filters: Json) -> Json:
    return {"or_filter": {"filters": list(filters)}}


def _listed(pairs: Mapping[str, str]) -> Json:
    return {"values": [{"key": key, "value": {"string_value": value}} for key, value in pairs.items()]}


def _to_monitor(name: str, source: Source) -> Json:
    said = [{"key": "x-bmase-gateway", "value": source.name}]
    return {"envoy_grpc": {"cluster_name": name}, "initial_metadata": said}


def clusters(endpoints: Sequence[Endpoint], tls: Json | None, source: Source) -> list[Json]:
    """The monitor's, for this alone."""
    return [_cluster(name, endpoints, tls, _credentials() if source.token else []) for name in (PAIRS, EVENTS)]


def _credentials() -> list[Json]:
    """Adds the token to what goes out; in the metadata of a log Envoy does not look for variables."""
    token = header("authorization", f"Bearer %ENVIRONMENT({TOKEN_VARIABLE})%")
    filters = "envoy.extensions.filters.http."
    mutations = {"request_mutations": [{"append": token}]}
    return [
        extension("token", filters + "header_mutation.v3.HeaderMutation", mutations=mutations),
        extension("envoy.filters.http.upstream_codec", filters + "upstream_codec.v3.UpstreamCodec"),
    ]


def _cluster(name: str, endpoints: Sequence[Endpoint], tls: Json | None, filters: list[Json]) -> Json:
    """A monitor that does not answer is left alone within two seconds.

    Watermarks would hold back the request whose copy does not get through; so there are none, and the number of
    requests under way is bounded instead.
    """
    alive = {"timeout": "1s", "interval": "1s", "no_traffic_interval": "1s"}
    probe = alive | {"unhealthy_threshold": 1, "healthy_threshold": 1, "grpc_health_check": {}}
    limits = {"max_connections": 8, "max_pending_requests": STREAMS, "max_requests": STREAMS, "max_retries": 0}
    made = service(name, endpoints, tls) | http2(keepalive="1s", timeout="1s", filters=filters)
    made |= {"health_checks": [probe], "close_connections_on_host_health_failure": True}
    made |= {"circuit_breakers": {"thresholds": [limits]}, "per_connection_buffer_limit_bytes": UNHELD_BYTES}
    return made
