"""Logs, traces and metrics of one process.

Everything is an object that `start` hands out; nothing is configured by importing this module. Traces always have ids,
so that a log line and an INTERNAL answer can be joined, but they leave the process only when `otlp_endpoint` is set.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import structlog
from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector, start_http_server

from services.kit.config import ServiceSettings, split_address
from services.kit.telemetry_logs import configure_logs

log = structlog.get_logger(__name__)

FLUSH_SECONDS = 2.0


def _tracer() -> trace.Tracer:
    return TracerProvider(shutdown_on_exit=False).get_tracer("bmase")


@dataclass(frozen=True)
class Telemetry:
    """Where a process's parts put their metrics and spans; the default keeps both to itself."""

    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    tracer: trace.Tracer = field(default_factory=_tracer)
    metrics_port: int = 0


def current_trace_id() -> str:
    """The trace id of the running call as 32 hexadecimal digits, or zeros outside a call."""
    return trace.format_trace_id(trace.get_current_span().get_span_context().trace_id)


@contextmanager
def start(settings: ServiceSettings) -> Iterator[Telemetry]:
    """Configures logging, serves `/metrics` on `metrics_listen`, and exports traces when an OTLP endpoint is set."""
    configure_logs(settings.log_level, settings.log_format, service=settings.service(), instance=settings.instance)
    registry = CollectorRegistry()
    for collector in (ProcessCollector, PlatformCollector, GCCollector):
        collector(registry=registry)
    with _tracing(settings) as tracer, _metrics_endpoint(settings, registry) as port:
        log.info("telemetry.started", metrics_port=port, otlp=bool(settings.otlp_endpoint))
        yield Telemetry(registry, tracer, port)


@contextmanager
def _tracing(settings: ServiceSettings) -> Iterator[trace.Tracer]:
    resource = Resource.create(
        {"service.name": f"bmase-{settings.service()}", "service.instance.id": settings.instance}
    )
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    if settings.otlp_endpoint:
        provider.add_span_processor(_otlp(settings.otlp_endpoint))
    try:
        yield provider.get_tracer("bmase")
    finally:
        # Sends what is left; a collector that is away may not hold up the end of the process.
        flushing = threading.Thread(target=provider.shutdown, daemon=True)
        flushing.start()
        flushing.join(FLUSH_SECONDS)


def _otlp(endpoint: str) -> BatchSpanProcessor:
    # Imported here: it takes a third of a second, and most processes export nothing.
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter  # noqa: PLC0415

    return BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint, insecure=not endpoint.startswith("https://")))


@contextmanager
def _metrics_endpoint(settings: ServiceSettings, registry: CollectorRegistry) -> Iterator[int]:
    host, port = split_address(settings.metrics_listen)
    try:
        server, thread = start_http_server(port, host, registry)
    except OSError as error:
        raise OSError(error.errno, f"metrics_listen={settings.metrics_listen}: {error.strerror}") from error
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join(timeout=2)
