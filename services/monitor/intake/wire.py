"""What is read here of OTLP's logs, wire-compatible and under names of our own, in a pool that nobody else sees.

Texts that clients sent are declared as bytes: Envoy passes on what is no UTF-8, too, and a whole message must not be
refused for it.
"""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_PACKAGE = "bmase.monitor.intake"
_F = descriptor_pb2.FieldDescriptorProto
_SCALARS = {"bytes": _F.TYPE_BYTES, "fixed64": _F.TYPE_FIXED64}

# message -> field -> number, type; `*` in front: repeated. Numbers are those of
# opentelemetry.proto.collector.logs.v1.
SCHEMA: dict[str, dict[str, tuple[int, str]]] = {
    "LogsRequest": {"resource_logs": (1, "*ResourceLogs")},
    "ResourceLogs": {"resource": (1, "Resource"), "scope_logs": (2, "*ScopeLogs")},
    "Resource": {"attributes": (1, "*KeyValue")},
    "ScopeLogs": {"log_records": (2, "*LogRecord")},
    "LogRecord": {"time_unix_nano": (1, "fixed64"), "attributes": (6, "*KeyValue")},
    "KeyValue": {"key": (1, "bytes"), "value": (2, "AnyValue")},
    "AnyValue": {"string_value": (1, "bytes")},
}


def _file() -> descriptor_pb2.FileDescriptorProto:
    file = descriptor_pb2.FileDescriptorProto(name="bmase/monitor/intake.proto", package=_PACKAGE, syntax="proto3")
    for name, fields in SCHEMA.items():
        message = file.message_type.add(name=name)
        for field, (number, kind) in fields.items():
            label = _F.LABEL_REPEATED if kind.startswith("*") else _F.LABEL_OPTIONAL
            bare = kind.lstrip("*")
            made = message.field.add(name=field, number=number, label=label)
            if bare in _SCALARS:
                made.type = _SCALARS[bare]
            else:
                made.type, made.type_name = _F.TYPE_MESSAGE, f".{_PACKAGE}.{bare}"
    return file


_POOL = descriptor_pool.DescriptorPool()
_POOL.Add(_file())


def _message(name: str) -> Any:
    return message_factory.GetMessageClass(_POOL.FindMessageTypeByName(f"{_PACKAGE}.{name}"))


LogsRequest = _message("LogsRequest")


def text(raw: bytes) -> str:
    """What is no UTF-8 is shown as such."""
    return raw.decode("utf-8", "replace")
