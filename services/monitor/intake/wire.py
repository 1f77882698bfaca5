"""What is read here of Envoy's ext_proc protocol and of OTLP's logs, wire-compatible and under names of our own.

PyPI's packages with Envoy's messages overwrite those of others; these few live in a pool that nobody else sees. Texts
that clients sent are declared as bytes: Envoy passes on what is no UTF-8, too, and a whole message must not be refused
for it. Maps are what they are on the wire, repeated entries.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_PACKAGE = "bmase.monitor.intake"
_F = descriptor_pb2.FieldDescriptorProto
_SCALARS = {"bool": _F.TYPE_BOOL, "bytes": _F.TYPE_BYTES, "double": _F.TYPE_DOUBLE, "fixed64": _F.TYPE_FIXED64}

# message -> field -> number, type; `*` in front: repeated. Numbers are those of envoy.service.ext_proc.v3 and of
# opentelemetry.proto.collector.logs.v1.
SCHEMA: dict[str, dict[str, tuple[int, str]]] = {
    "ProcessingRequest": {
        "response_headers": (3, "HttpHeaders"),
        "request_body": (4, "HttpBody"),
        "response_body": (5, "HttpBody"),
        "attributes": (9, "*Attributes"),
    },
    "HttpHeaders": {"headers": (1, "HeaderMap"), "end_of_stream": (3, "bool")},
    "HttpBody": {"body": (1, "bytes"), "end_of_stream": (2, "bool")},
    "HeaderMap": {"headers": (1, "*HeaderValue")},
    "HeaderValue": {"key": (1, "bytes"), "value": (2, "bytes"), "raw_value": (3, "bytes")},
    "Attributes": {"key": (1, "bytes"), "value": (2, "Struct")},
    "Struct": {"fields": (1, "*StructEntry")},
    "StructEntry": {"key": (1, "bytes"), "value": (2, "Value")},
    "Value": {"number_value": (2, "double"), "string_value": (3, "bytes"), "bool_value": (4, "bool")},
    "ProcessingResponse": {},
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


ProcessingRequest = _message("ProcessingRequest")
ProcessingResponse = _message("ProcessingResponse")
LogsRequest = _message("LogsRequest")


def headers(listed: Iterable[Any]) -> dict[str, str]:
    """A HeaderMap's headers as text; of a repeated one the last."""
    return {text(header.key): text(header.raw_value or header.value) for header in listed}


def attributes(message: Any) -> dict[str, str]:
    """The attributes of a ProcessingRequest that are text."""
    entries = (entry for group in message.attributes for entry in group.value.fields)
    return {text(entry.key): text(entry.value.string_value) for entry in entries}


def text(raw: bytes) -> str:
    """What is no UTF-8 is shown as such."""
    return raw.decode("utf-8", "replace")
