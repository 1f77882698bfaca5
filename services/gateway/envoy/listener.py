"""Envoy's listeners: the one address of the platform, and the inner one with the platform's own answers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from services.gateway.envoy import capture, platform, shown, table
from services.gateway.envoy.answers import (
    DEADLINE_EXCEEDED,
    IS_GRPC,
    MODEL_HEADER,
    RESOURCE_EXHAUSTED,
    Json,
    extension,
    header,
    typed,
)
from services.gateway.envoy.clusters import CONNECTION_WINDOW, STREAM_WINDOW
from services.gateway.envoy.limits import Limits, seconds
from services.gateway.envoy.paths import BRIDGE, EXTRACTION, INFERENCE, PLATFORM_CLUSTER, TRANSCODER, WRAPPED_CLUSTER
from services.gateway.envoy.script import LUA, LUA_KIND, sources
from services.gateway.envoy.snapshot import Endpoint

_HTTP = "envoy.extensions.filters.http."
KIND = "envoy.config.listener.v3.Listener"
NAME = "gateway"
STATS_PREFIX = "bmase"
NOBODY: Json = {"address_prefix": "255.255.255.255", "prefix_len": 32}


@dataclass(frozen=True, slots=True)
class Files:
    """Where Envoy finds what it watches and what it needs; all in one folder."""

    folder: Path

    @property
    def bootstrap(self) -> Path:
        return self.folder / "bootstrap.json"

    @property
    def listeners(self) -> Path:
        return self.folder / "lds.json"

    @property
    def clusters(self) -> Path:
        return self.folder / "cds.json"

    @property
    def routes(self) -> Path:
        return self.folder / "rds.pb"

    @property
    def platform(self) -> Path:
        return self.folder / "platform.pb"

    @property
    def weights(self) -> Path:
        return self.folder / "weights.json"

    @property
    def allowance(self) -> Path:
        return self.folder / "allowance.json"

    @property
    def inference_descriptors(self) -> Path:
        return self.folder / "inference.binpb"

    @property
    def api_descriptors(self) -> Path:
        return self.folder / "api.binpb"


def watched(path: Path) -> Json:
    """A file that Envoy reads again whenever another is renamed onto it."""
    return {"path_config_source": {"path": str(path)}, "resource_api_version": "V3"}


def listeners(
    address: Endpoint,
    files: Files,
    limits: Limits,
    api_services: list[str],
    source: capture.Source,
    *,
    tls: Json | None = None,
) -> list[Json]:
    """All that lead to models. They depend on settings only: a change of routes never touches connections."""
    manager = _manager(files, _filters(files, limits, api_services), limits, source)
    return [_outer(address, manager, tls), _inner(files), _wrapping()]


def _outer(address: Endpoint, manager: Json, tls: Json | None) -> Json:
    chain: Json = {"filters": [manager]}
    return {
        "@type": f"type.googleapis.com/{KIND}",
        "name": NAME,
        "address": {"socket_address": {"address": address.host, "port_value": address.port}},
        "per_connection_buffer_limit_bytes": STREAM_WINDOW,
        "filter_chains": [chain | ({"transport_socket": tls} if tls else {})],
    }


def _inner(files: Files) -> Json:
    rds = {"route_config_name": platform.NAME, "config_source": watched(files.platform)}
    return _internal(platform.NAME, [_router()], rds=rds)


def _wrapping() -> Json:
    """Asks the platform's listener in HTTP what it was asked in gRPC."""
    forward = {"match": {"prefix": "/"}, "route": {"cluster": PLATFORM_CLUSTER}}
    routes = {"name": WRAPPED_CLUSTER, "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [forward]}]}
    return _internal(WRAPPED_CLUSTER, [_bridge(), _router()], route_config=routes)


def _internal(name: str, filters: list[Json], **routes: Json) -> Json:
    kind = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
    names = {"stat_prefix": name, "http_filters": filters}
    manager = extension("envoy.filters.network.http_connection_manager", kind, **names, **routes)
    return {
        "@type": f"type.googleapis.com/{KIND}",
        "name": name,
        "internal_listener": {},
        "filter_chains": [{"filters": [manager]}],
    }


def _manager(files: Files, filters: list[Json], limits: Limits, source: capture.Source) -> Json:
    logs = [shown.bad_requests(source, watched(files.allowance)), shown.pairs(source)]
    return extension(
        "envoy.filters.network.http_connection_manager",
        "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        stat_prefix=NAME,
        codec_type="AUTO",
        rds={"route_config_name": table.NAME, "config_source": watched(files.routes)},
        http_filters=filters,
        access_log=[_statistics(), *logs],
        local_reply_config=_local_replies(limits),
        early_header_mutation_extensions=[_own_headers()],
        # As an edge: x-envoy-* headers of clients, with which they could steer the router, are taken away.
        use_remote_address=True,
        skip_xff_append=True,
        # Without any range, Envoy 1.40 took loopback for internal and left clients there these headers.
        internal_address_config={"cidr_ranges": [NOBODY]},
        server_header_transformation="PASS_THROUGH",
        generate_request_id=False,
        stream_idle_timeout=seconds(limits.stream_idle),
        request_headers_timeout="10s",
        common_http_protocol_options={"idle_timeout": "3600s", "headers_with_underscores_action": "ALLOW"},
        http2_protocol_options={
            "max_concurrent_streams": 1024,
            "initial_stream_window_size": STREAM_WINDOW,
            "initial_connection_window_size": CONNECTION_WINDOW,
            "connection_keepalive": {"interval": "60s", "timeout": "20s"},
        },
    )


def _filters(files: Files, limits: Limits, api_services: list[str]) -> list[Json]:
    """In the order in which they see a request. What is `disabled` runs only on routes that ask for it."""
    extraction: Json = {"model_name": {}, "model_version": {}}
    method = f"{INFERENCE.strip('/')}.ModelStreamInfer"
    return [
        extension(
            EXTRACTION,
            _HTTP + "grpc_field_extraction.v3.GrpcFieldExtractionConfig",
            descriptor_set={"filename": str(files.inference_descriptors)},
            extractions_by_method={method: {"request_field_extractions": extraction}},
        )
        | {"disabled": True},
        extension(LUA, LUA_KIND, source_codes=sources(limits)),
        capture.sampler(limits),
        _transcoder(files, api_services) | {"disabled": True},
        _bridge() | {"disabled": True},
        _router(),
    ]


def _bridge() -> Json:
    kind = _HTTP + "grpc_http1_reverse_bridge.v3.FilterConfig"
    return extension(BRIDGE, kind, content_type=platform.GRPC_BYTES, withhold_grpc_frames=True)


def _transcoder(files: Files, api_services: list[str]) -> Json:
    return extension(
        TRANSCODER,
        _HTTP + "grpc_json_transcoder.v3.GrpcJsonTranscoder",
        proto_descriptor=str(files.api_descriptors),
        services=api_services,
        convert_grpc_status=True,
        auto_mapping=False,
        print_options={"preserve_proto_field_names": False, "always_print_primitive_fields": False},
        ignore_unknown_query_parameters=False,
        max_request_body_size=16 << 20,
        max_response_body_size=64 << 20,
    )


def _own_headers() -> Json:
    """Headers that only the gateway may set are taken away before anything looks at a request."""
    return extension(
        "own headers",
        "envoy.extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation",
        mutations=[{"remove": MODEL_HEADER}],
    )


def _router() -> Json:
    return extension(
        "envoy.filters.http.router", _HTTP + "router.v3.Router", suppress_envoy_headers=True, dynamic_stats=False
    )


def _statistics() -> Json:
    """Requests and their durations by model, version, and how the version was chosen.

    Names come from routes, so clients cannot invent any.
    """
    model = {"name": "model", "value_format": "%ROUTE_NAME%"}
    version = {"name": "version", "value_format": "%RESP(x-bmase-version)%"}
    via = {"name": "via", "value_format": f"%METADATA(ROUTE:{capture.NAMESPACE}:via)%"}
    outcome = [
        {"name": "code", "value_format": "%RESPONSE_CODE%"},
        {"name": "status", "value_format": "%GRPC_STATUS(SNAKE_STRING)%"},
    ]
    requests = {"stat": {"name": "requests", "tags": [model, version, *outcome, via]}, "value_fixed": 1}
    duration = {
        "stat": {"name": "duration", "tags": [model, version, via]},
        "unit": "Milliseconds",
        "value_format": "%DURATION%",
    }
    kind = "envoy.extensions.access_loggers.stats.v3.Config"
    return extension(
        "envoy.access_loggers.stats",
        kind,
        stats_scope={"prefix": STATS_PREFIX},
        counters=[requests],
        histograms=[duration],
    )


def _local_replies(limits: Limits) -> Json:
    """How Envoy's own refusals look: with the right gRPC status, or as {"error": ...} to HTTP."""
    too_large = f"the request is larger than the {limits.message_bytes} bytes that are accepted"
    return {
        "mappers": [
            _mapper([_code("GE", 400), {"header_filter": {"header": _TRANSCODED}}], "", as_json=True),
            _mapper([_code("EQ", 413), {"header_filter": {"header": IS_GRPC}}], RESOURCE_EXHAUSTED, too_large),
            _mapper([_code("EQ", 413)], RESOURCE_EXHAUSTED, too_large, as_json=True),
            _mapper([_flags("OM"), {"header_filter": {"header": IS_GRPC}}], RESOURCE_EXHAUSTED, "the gateway is full"),
            _mapper([_code("EQ", 504), {"header_filter": {"header": IS_GRPC}}], DEADLINE_EXCEEDED),
            _mapper([_code("EQ", 408), {"header_filter": {"header": IS_GRPC}}], DEADLINE_EXCEEDED),
            _mapper([_code("GE", 400), {"header_filter": {"header": _NOT_GRPC}}], "", as_json=True),
        ]
    }


# REST that was turned into gRPC looks like gRPC by now, but its answer must not.
_TRANSCODED: Json = {"name": "x-envoy-original-method", "present_match": True}
_NOT_GRPC: Json = {**IS_GRPC, "invert_match": True, "treat_missing_header_as_empty": True}


def _code(operator: str, status: int) -> Json:
    # The runtime key is required by Envoy and never set.
    value = {"default_value": status, "runtime_key": "gateway.local_reply"}
    return {"status_code_filter": {"comparison": {"op": operator, "value": value}}}


def _flags(*flags: str) -> Json:
    return {"response_flag_filter": {"flags": list(flags)}}


def _mapper(filters: list[Json], grpc_status: str, text: str = "", *, as_json: bool = False) -> Json:
    mapper: Json = {"filter": filters[0] if len(filters) == 1 else {"and_filter": {"filters": filters}}}
    said = text or "%LOCAL_REPLY_BODY%"
    if as_json:
        mapper["body_format_override"] = {"json_format": {"error": said}}
        return mapper
    mapper["headers_to_add"] = [header("grpc-status", grpc_status)]
    mapper["body_format_override"] = {"text_format_source": {"inline_string": said}}
    return mapper


def server_tls(cert: Path, key: Path, ca: Path | None, mutual: bool) -> Json:
    """What the listener shows to clients, and asks of them."""
    files = {"certificate_chain": {"filename": str(cert)}, "private_key": {"filename": str(key)}}
    common: Json = {"tls_certificates": [files], "alpn_protocols": ["h2", "http/1.1"]}
    if mutual and ca:
        common["validation_context"] = {"trusted_ca": {"filename": str(ca)}}
    kind = "envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext"
    return {
        "name": "envoy.transport_sockets.tls",
        "typed_config": typed(kind, common_tls_context=common, require_client_certificate=mutual),
    }


def client_tls(cert: Path | None, key: Path | None, ca: Path | None, name: str) -> Json:
    """How the gateway talks to the platform's services when those use TLS."""
    common: Json = {"alpn_protocols": ["h2"]}
    if cert and key:
        common["tls_certificates"] = [
            {"certificate_chain": {"filename": str(cert)}, "private_key": {"filename": str(key)}}
        ]
    if ca:
        common["validation_context"] = {"trusted_ca": {"filename": str(ca)}}
    kind = "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext"
    context = typed(kind, common_tls_context=common, **({"sni": name} if name else {}))
    return {"name": "envoy.transport_sockets.tls", "typed_config": context}
