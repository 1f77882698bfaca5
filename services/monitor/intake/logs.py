"""Receives what gateways show: an OTLP logs service, which their access logs are sent to.

    LogsServicer(on_bad, on_pair)    .received and .unreadable count records; .dropped(model) counts pairs
    registration(servicer)           for `services.kit.server.GrpcServer`

What it cannot read is refused in its answer, as the protocol has it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import grpc
import structlog
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2 as pb

from services.kit.server import Registration
from services.monitor.intake.events import BadEvent, event
from services.monitor.intake.pairs import Pair, Unfit, pair
from services.monitor.intake.records import attributes
from services.monitor.intake.wire import LogsRequest

log = structlog.get_logger(__name__)

SERVICE = "opentelemetry.proto.collector.logs.v1.LogsService"
# What the gateways call their log of pairs.
PAIRS = "pairs"


class LogsServicer:
    """Hands every bad event to `on_bad` and every pair to `on_pair`, in the order of arrival; both must be quick."""

    def __init__(self, on_bad: Callable[[BadEvent], None], on_pair: Callable[[Pair], None]) -> None:
        self._on_bad = on_bad
        self._on_pair = on_pair
        self._dropped: Counter[str] = Counter()
        self.received = 0
        self.unreadable = 0

    def dropped(self, model: str) -> int:
        """Sampled requests of a model that became no pair, since the service started."""
        return self._dropped[model]

    async def Export(self, request: Any, context: Any) -> pb.ExportLogsServiceResponse:  # noqa: N802
        refused = 0
        for resource in request.resource_logs:
            of = attributes(resource.resource.attributes)
            take = self._pair if of.get("log") == PAIRS else self._bad
            for scope in resource.scope_logs:
                for record in scope.log_records:
                    said = attributes(record.attributes)
                    refused += not take(record.time_unix_nano, of.get("gateway", ""), said)
        self.unreadable += refused
        return pb.ExportLogsServiceResponse(
            partial_success=pb.ExportLogsPartialSuccess(rejected_log_records=refused) if refused else None
        )

    def _bad(self, nanoseconds: int, gateway: str, said: dict[str, str]) -> bool:
        """Whether it is one of ours."""
        found = event(nanoseconds, gateway, said)
        if found is None:
            return False
        self.received += 1
        self._on_bad(found)
        return True

    def _pair(self, nanoseconds: int, gateway: str, said: dict[str, str]) -> bool:
        """Always: what became no pair is counted with its model."""
        found = pair(nanoseconds, gateway, said)
        if isinstance(found, Pair):
            self._on_pair(found)
        elif found is not Unfit.NOT_OURS:
            self._dropped[said["model"]] += 1
        return True


def registration(servicer: LogsServicer) -> Registration:
    """The service as a server takes it."""
    return Registration(_add, servicer, SERVICE)


def _add(servicer: LogsServicer, server: grpc.aio.Server) -> None:
    handler = grpc.unary_unary_rpc_method_handler(
        servicer.Export, LogsRequest.FromString, pb.ExportLogsServiceResponse.SerializeToString
    )
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, {"Export": handler}),))
