"""Receives the bad events: an OTLP logs service, which gateways' access logs are sent to.

    LogsServicer(on_bad)       .received and .unreadable count records
    registration(servicer)     for `services.kit.server.GrpcServer`

What it cannot read is refused in its answer, as the protocol has it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import grpc
import structlog
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2 as pb

from services.kit.server import Registration
from services.monitor.intake.events import BadEvent, attributes, event
from services.monitor.intake.wire import LogsRequest

log = structlog.get_logger(__name__)

SERVICE = "opentelemetry.proto.collector.logs.v1.LogsService"


class LogsServicer:
    """Hands every event to `on_bad`, in the order of arrival; it must be quick."""

    def __init__(self, on_bad: Callable[[BadEvent], None]) -> None:
        self._on_bad = on_bad
        self.received = 0
        self.unreadable = 0

    async def Export(self, request: Any, context: Any) -> pb.ExportLogsServiceResponse:  # noqa: N802
        refused = 0
        for found in _events(request):
            if found is None:
                refused += 1
            else:
                self.received += 1
                self._on_bad(found)
        self.unreadable += refused
        return pb.ExportLogsServiceResponse(
            partial_success=pb.ExportLogsPartialSuccess(rejected_log_records=refused) if refused else None
        )


def _events(request: Any) -> Iterator[BadEvent | None]:
    for resource in request.resource_logs:
        gateway = attributes(resource.resource.attributes).get("gateway", "")
        for scope in resource.scope_logs:
            for record in scope.log_records:
                yield event(record.time_unix_nano, gateway, attributes(record.attributes))


def registration(servicer: LogsServicer) -> Registration:
    """The service as a server takes it."""
    return Registration(_add, servicer, SERVICE)


def _add(servicer: LogsServicer, server: grpc.aio.Server) -> None:
    handler = grpc.unary_unary_rpc_method_handler(
        servicer.Export, LogsRequest.FromString, pb.ExportLogsServiceResponse.SerializeToString
    )
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, {"Export": handler}),))
