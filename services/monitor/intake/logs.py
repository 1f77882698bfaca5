"""Receives what gateways show: an OTLP logs service, which their access logs are sent to.

    LogsServicer(on_bad, on_pair, on_lost)
    registration(servicer)    for `services.kit.server.GrpcServer`

What it cannot read is refused in its answer, as the protocol has it.
"""

from __future__ import annotations

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
    """Hands every bad event to `on_bad` and every pair to `on_pair`, in the order of arrival; they must be quick.

    `on_lost` gets the model of a sampled request that became no pair. A record that cannot be read costs no other one.
    """

    def __init__(
        self,
        on_bad: Callable[[BadEvent], None],
        on_pair: Callable[[Pair], None],
        on_lost: Callable[[str], None],
    ) -> None:
        self._on_bad = on_bad
        self._on_pair = on_pair
        self._on_lost = on_lost

    async def Export(self, request: Any, context: Any) -> pb.ExportLogsServiceResponse:  # noqa: N802
        refused = 0
        for resource in request.resource_logs:
            of = attributes(resource.resource.attributes)
            take = self._pair if of.get("log") == PAIRS else self._bad
            for scope in resource.scope_logs:
                for record in scope.log_records:
                    refused += not self._read(take, of.get("gateway", ""), record)
        return pb.ExportLogsServiceResponse(
            partial_success=pb.ExportLogsPartialSuccess(rejected_log_records=refused) if refused else None
        )

    def _read(self, take: Callable[[int, str, dict[str, str]], bool], gateway: str, record: Any) -> bool:
        """Whether it is one of ours; clients write parts of it, so whatever is in it may only cost itself."""
        try:
            return take(record.time_unix_nano, gateway, attributes(record.attributes))
        except Exception:
            log.exception("intake.unreadable", gateway=gateway)
            return False

    def _bad(self, nanoseconds: int, gateway: str, said: dict[str, str]) -> bool:
        """Whether it is one of ours."""
        found = event(nanoseconds, gateway, said)
        if found is None:
            return False
        self._on_bad(found)
        return True

    def _pair(self, nanoseconds: int, gateway: str, said: dict[str, str]) -> bool:
        """Always: what became no pair is counted with its model."""
        found = pair(nanoseconds, gateway, said)
        if isinstance(found, Pair):
            self._on_pair(found)
        elif found is not Unfit.NOT_OURS:
            self._on_lost(said["model"])
        return True


def registration(servicer: LogsServicer) -> Registration:
    """The service as a server takes it."""
    return Registration(_add, servicer, SERVICE)


def _add(servicer: LogsServicer, server: grpc.aio.Server) -> None:
    handler = grpc.unary_unary_rpc_method_handler(
        servicer.Export, LogsRequest.FromString, pb.ExportLogsServiceResponse.SerializeToString
    )
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, {"Export": handler}),))
