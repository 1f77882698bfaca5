"""The layers that show what a server does: a span, a log line and three metrics a call."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc
import structlog
from opentelemetry import propagate, trace
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from services.kit.interceptors import Call

log = structlog.get_logger(__name__)

# Codes that mean the server, not the caller, has to be looked at.
FAULTS = frozenset({grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN, grpc.StatusCode.DATA_LOSS})

BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class Traces:
    """A server span a call, child of the caller's by W3C `traceparent`."""

    def __init__(self, tracer: trace.Tracer) -> None:
        self._tracer = tracer

    @asynccontextmanager
    async def around(self, call: Call) -> AsyncIterator[None]:
        attributes = {"rpc.system": "grpc", "rpc.service": call.service, "rpc.method": call.name}
        with self._tracer.start_as_current_span(
            f"{call.service}/{call.name}",
            context=propagate.extract(call.metadata),
            kind=trace.SpanKind.SERVER,
            attributes=attributes,
            record_exception=False,  # an exception's words may hold what must not leave the process
            set_status_on_exception=False,
        ) as span:
            try:
                yield
            finally:
                _finish(span, call)


def _finish(span: trace.Span, call: Call) -> None:
    span.set_attribute("rpc.grpc.status_code", call.code.value[0])
    if call.reason is not None:
        span.set_attribute("bmase.reason", call.reason.value)
    if call.code in FAULTS:
        span.set_status(trace.StatusCode.ERROR)


class AccessLog:
    """One line a call; health checks only at level debug."""

    @asynccontextmanager
    async def around(self, call: Call) -> AsyncIterator[None]:
        try:
            yield
        finally:
            write = log.debug if call.plumbing else log.error if call.code in FAULTS else log.info
            write("grpc.call", **_words(call))


def _words(call: Call) -> dict[str, object]:
    words: dict[str, object] = {"method": call.method, "code": call.code.name, "peer": call.peer}
    words["ms"] = round((time.monotonic() - call.started) * 1000, 2)
    if call.reason is not None:
        words["reason"] = call.reason.value
    if call.principal:
        words["principal"] = call.principal
    return words


class Metrics:
    """`bmase_grpc_requests_total`, `bmase_grpc_request_seconds`, `bmase_grpc_in_flight`."""

    def __init__(self, registry: CollectorRegistry) -> None:
        labels = ("grpc_service", "grpc_method")
        self._total = Counter(
            "bmase_grpc_requests_total", "Calls ended, by status code.", (*labels, "grpc_code"), registry=registry
        )
        self._seconds = Histogram(
            "bmase_grpc_request_seconds", "How long calls took.", labels, buckets=BUCKETS, registry=registry
        )
        self._in_flight = Gauge("bmase_grpc_in_flight", "Calls running now.", labels, registry=registry)

    @asynccontextmanager
    async def around(self, call: Call) -> AsyncIterator[None]:
        labels = (call.service, call.name)
        in_flight = self._in_flight.labels(*labels)
        in_flight.inc()
        try:
            yield
        finally:
            in_flight.dec()
            self._total.labels(*labels, call.code.name).inc()
            self._seconds.labels(*labels).observe(time.monotonic() - call.started)
