"""Messages as JSON values: all fields present, names as in the contract, whole numbers as numbers.

(protobuf's own JSON writes 64-bit numbers as strings, which is right for JavaScript and a nuisance for `jq`.)
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

_TIMESTAMP = "google.protobuf.Timestamp"
_WELL_KNOWN = "google.protobuf."


def of(value: Any) -> Any:
    """The JSON value of a message, or of a list of messages; other values stay as they are."""
    if hasattr(value, "DESCRIPTOR"):
        return _message(value)
    if isinstance(value, list | tuple):
        return [of(item) for item in value]
    return value


def _message(message: Any) -> Any:
    name = message.DESCRIPTOR.full_name
    if name == _TIMESTAMP:
        return time_of(message).isoformat().replace("+00:00", "Z")
    if name.startswith(_WELL_KNOWN):
        from google.protobuf import json_format  # noqa: PLC0415  a tenth of a second, which --help does not need

        return json_format.MessageToDict(message)
    return {field.name: _field(message, field) for field in message.DESCRIPTOR.fields if _shown(message, field)}


def _shown(message: Any, field: Any) -> bool:
    """Members of a oneof only when set; a message that is absent is shown as null."""
    return field.containing_oneof is None or message.HasField(field.name)


def _field(message: Any, field: Any) -> Any:
    value = getattr(message, field.name)
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        return {str(key): _scalar(item, field.message_type.fields_by_name["value"]) for key, item in value.items()}
    if field.is_repeated:
        return [_scalar(item, field) for item in value]
    if field.message_type is not None and not message.HasField(field.name):
        return None
    return _scalar(value, field)


def _scalar(value: Any, field: Any) -> Any:
    if field.enum_type is not None:
        known = field.enum_type.values_by_number.get(value)
        return known.name if known else value
    if isinstance(value, bytes):
        return value.hex()
    return of(value)


def time_of(stamp: Any) -> datetime:
    """The moment of a Timestamp message."""
    moment: datetime = stamp.ToDatetime(tzinfo=UTC)
    return moment
