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
# More bad requests are not told; what is counted and not told holds a release up, it never speaks for it.
BAD_PER_SECOND = 2000


@dataclass(frozen=True)
class Log:
    """One kind of what is shown.

    bytes    sent when so much has come together, or after `seconds`
    said     what is told of each, by Envoy's format
    """

    name: str
    cluster: str
    bytes: int
    seconds: float
    said: Mapping[str, str]

    def logger(self, source: Source, which: Json) -> Json:
        """What bounds a monitor that does not answer is its cluster's circuit breaker: this log takes no timeout."""
        # Deprecated, and the only place from which Envoy 1.40 reads the buffer's fields: those at the top of the
        # configuration are accepted and ignored.
        sending = {
            "log_name": self.name,
            "transport_api_version": "V3",
            "grpc_service": {"envoy_grpc": {"cluster_name": self.cluster}},
            "buffer_flush_interval": f"{self.seconds:g}s",
            "buffer_size_bytes": self.bytes,
        }
        logger = extension(
            "envoy.access_loggers.open_telemetry",
            "envoy.extensions.access_loggers.open_telemetry.v3.OpenTelemetryAccessLogConfig",
            common_config=sending,
            disable_builtin_labels=True,
            resource_attributes=_listed({"gateway": source.name, "log": self.name}),
            attributes=_listed(self.said),
            stat_prefix=self.name,
        )
        return logger | {"filter": which}


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


def _listed(pairs: Mapping[str, str]) -> Json:
    return {"values": [{"key": key, "value": {"string_value": value}} for key, value in pairs.items()]}


BAD_REQUESTS = Log("bad_requests", EVENTS, bytes=64 << 10, seconds=0.1, said=_WHO | _OF_BAD)
SAMPLED = Log("pairs", PAIRS, bytes=256 << 10, seconds=1.0, said=_WHO | _OF_PAIRS)


def allowance() -> Json:
    """How many bad requests are told at most, as the one resource of a file. Envoy has one such limit, not two."""
    rate = {"max_tokens": BAD_PER_SECOND, "tokens_per_fill": BAD_PER_SECOND, "fill_interval": "1s"}
    resource = typed("envoy.type.v3.TokenBucket", **rate)
    return typed("envoy.service.discovery.v3.Resource", name=BAD_REQUESTS.name, version="1", resource=resource)


def bad_requests(source: Source, allowance_file: Json) -> Json:
    """Those by weight of models under judgement; `allowance_file` is where `allowance` is watched."""
    bad = _any(_all(_failed(), _cel(_JUDGED)), _all(_took_long(), _cel(_SLOW)))
    return BAD_REQUESTS.logger(source, _all(bad, _allowed(BAD_REQUESTS.name, allowance_file)))


def pairs(source: Source) -> Json:
    """Those of whose request the sampler has said something."""
    seen = {"matcher": {"filter": COPIES, "path": [{"key": "request"}], "value": {"present_match": True}}}
    return SAMPLED.logger(source, {"metadata_filter": {**seen, "match_if_key_not_found": False}})


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


def _allowed(resource: str, file: Json) -> Json:
    kind = "envoy.extensions.access_loggers.filters.process_ratelimit.v3.ProcessRateLimitFilter"
    bucket = {"resource_name": resource, "config_source": file}
    name = "envoy.access_loggers.extension_filters.process_ratelimit"
    return {"extension_filter": extension(name, kind, dynamic_config=bucket)}


def _all(*filters: Json) -> Json:
    return {"and_filter": {"filters": list(filters)}}


def _any(*filters: Json) -> Json:
    return {"or_filter": {"filters": list(filters)}}
