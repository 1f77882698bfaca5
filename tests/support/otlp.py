"""What the access logs of gateways send, as the monitor reads it."""

from __future__ import annotations

from typing import Any

from opentelemetry.proto.collector.logs.v1 import logs_service_pb2 as pb
from opentelemetry.proto.common.v1 import common_pb2

from services.monitor.intake.wire import LogsRequest

GATEWAY = "gw-1"
NANOSECONDS = 1_500_000_000


def export(*records: dict[str, str], log: str) -> Any:
    """As it is read after a way over the wire."""
    return LogsRequest.FromString(exported(*records, log=log))


def exported(*records: dict[str, str], log: str) -> bytes:
    """One message of one log."""
    request = pb.ExportLogsServiceRequest()
    resource = request.resource_logs.add()
    resource.resource.attributes.extend([_pair("gateway", GATEWAY), _pair("log", log)])
    scope = resource.scope_logs.add()
    for said in records:
        record = scope.log_records.add(time_unix_nano=NANOSECONDS)
        record.attributes.extend(_pair(key, value) for key, value in said.items())
    return request.SerializeToString()


def _pair(key: str, value: str) -> common_pb2.KeyValue:
    return common_pb2.KeyValue(key=key, value=common_pb2.AnyValue(string_value=value))
