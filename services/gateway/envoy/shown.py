"""The access logs by which the monitor is shown pairs and bad requests, many in a message.

Cheap questions come first: of a request that is not shown only its status, its duration and a name are looked at.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from services.gateway.envoy.answers import IS_GRPC, VERSION_HEADER, Json, extension, typed
from services.gateway.envoy.capture import EVENTS, NAMESPACE, PAIRS, SLOW_KEY, Source

# What the sampler's script keeps bodies under, until the request has ended.
COPIES = "bmase.pair"
NEVER = 2**32 - 1


@dataclass(frozen=True, slots=True)
class Log:
    """One kind of what is shown.

    per_second    more are not sent: bad requests that are counted and not told hold a release up, never speak for it
    bytes         sent when so much has come together, or after `seconds`
    """

    name: str
    cluster: str
    per_second: int
    bytes: int
    seconds: float


BAD_REQUESTS = Log("bad requests", EVENTS, per_second=2000, bytes=64 << 10, seconds=0.1)
SAMPLED = Log("pairs", PAIRS, per_second=1000, bytes=256 << 10, seconds=1.0)

_FACTS = f"xds.route_metadata.filter_metadata['{NAMESPACE}']"
_WHO = {
    "model": "%ROUTE_NAME%",
    "version": f"%RESP({VERSION_HEADER})%",
    "client": "%REQ(x-bmase-client?x-bmase-tenant)%",
    "sticky": f"%METADATA(ROUTE:{NAMESPACE}:sticky)%",
    "sticky_key": f"%CEL(request.headers[{_FACTS}['sticky']])%",
    "address": "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%",
    "request_id": "%REQ(x-request-id)%",
    "grpc_status": "%GRPC_STATUS(SNAKE_STRING)%",
    "http_code": "%RESPONSE_CODE%",
}
_OF_BAD = {
    "flags": "%RESPONSE_FLAGS%",
    "details": "%RESPONSE_CODE_DETAILS%",
    "duration_ms": "%DURATION%",
}
_OF_PAIRS = {
    "via": f"%METADATA(ROUTE:{NAMESPACE}:via)%",
    "duration_us": "%COMMON_DURATION(DS_RX_BEG:DS_TX_END:us)%",
    "content_type": "%REQ(content-type)%",
    "request": f"%DYNAMIC_METADATA({COPIES}:request)%",
    "request_encoding": "%REQ(content-encoding)%",
    "request_length": "%REQ(inference-header-content-length)%",
    "response": f"%DYNAMIC_METADATA({COPIES}:response)%",
    "response_encoding": "%RESP(content-encoding)%",
    "response_length": "%RESP(inference-header-content-length)%",
}


def allowances() -> list[Json]:
    """How many of each kind are told at most, as resources of a file of their own."""
    return [_allowance(log) for log in (BAD_REQUESTS, SAMPLED)]


def _allowance(log: Log) -> Json:
    rate = {"max_tokens": log.per_second, "tokens_per_fill": log.per_second, "fill_interval": "1s"}
    resource = typed("envoy.type.v3.TokenBucket", **rate)
    return typed("envoy.service.discovery.v3.Resource", name=log.name, version="1", resource=resource)


def bad_requests(source: Source, allowances_file: Json) -> Json:
    """Those by weight of models under judgement; `allowances_file` is where `allowances` are watched."""
    bad = _any(_all(_failed(), _cel(_JUDGED)), _all(_took_long(), _cel(_SLOW)))
    return _log(BAD_REQUESTS, source, _WHO | _OF_BAD, _all(bad, _allowed(BAD_REQUESTS, allowances_file)))


def pairs(source: Source, allowances_file: Json) -> Json:
    """Those whose request the sampler has seen whole."""
    seen = {"matcher": {"filter": COPIES, "path": [{"key": "request"}], "value": {"present_match": True}}}
    sampled = {"metadata_filter": {**seen, "match_if_key_not_found": False}}
    return _log(SAMPLED, source, _WHO | _OF_PAIRS, _all(sampled, _allowed(SAMPLED, allowances_file)))


def _log(log: Log, source: Source, said: Mapping[str, str], condition: Json) -> Json:
    kind = "envoy.extensions.access_loggers.open_telemetry.v3.OpenTelemetryAccessLogConfig"
    # At the top of the configuration Envoy 1.40 reads over both of the buffer's fields.
    sending = {
        "log_name": log.name,
        "transport_api_version": "V3",
        "grpc_service": {"envoy_grpc": {"cluster_name": log.cluster}, "timeout": "1s"},
        "buffer_flush_interval": f"{log.seconds:g}s",
        "buffer_size_bytes": log.bytes,
    }
    logger = extension(
        "envoy.access_loggers.open_telemetry",
        kind,
        common_config=sending,
        disable_builtin_labels=True,
        resource_attributes=_listed({"gateway": source.name, "log": log.name}),
        attributes=_listed(said),
        stat_prefix=log.name.replace(" ", "_"),
    )
    return logger | {"filter": condition}


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


def _allowed(log: Log, file: Json) -> Json:
    kind = "envoy.extensions.access_loggers.filters.process_ratelimit.v3.ProcessRateLimitFilter"
    bucket = {"resource_name": log.name, "config_source": file}
    name = "envoy.access_loggers.extension_filters.process_ratelimit"
    return {"extension_filter": extension(name, kind, dynamic_config=bucket)}


def _all(*filters: Json) -> Json:
    return {"and_filter": {"filters": list(filters)}}


def _any(*filters: Json) -> Json:
    return {"or_filter": {"filters": list(filters)}}


def _listed(pairs: Mapping[str, str]) -> Json:
    return {"values": [{"key": key, "value": {"string_value": value}} for key, value in pairs.items()]}
