"""The one way in."""

from __future__ import annotations

from enum import StrEnum

from services.monitor.oip import grpc_message, http_body
from services.monitor.oip.message import MAX_BYTES, Malformed, Message

_READERS = {
    ("grpc", "request"): grpc_message.read_request,
    ("grpc", "response"): grpc_message.read_response,
    ("http", "request"): http_body.read_request,
    ("http", "response"): http_body.read_response,
}


class Side(StrEnum):
    """Which half of an inference."""

    REQUEST = "request"
    RESPONSE = "response"


def read(protocol: str, side: Side, data: bytes, json_bytes: int = 0) -> Message:
    """The message; an empty one when there are no bytes (a refused request has no answer). Raises only Malformed.

    `json_bytes` is the length of the JSON before binary tensors, where it is known.
    """
    if not data:
        return Message()
    if len(data) > MAX_BYTES:
        raise Malformed(f"the message has {len(data)} bytes, at most {MAX_BYTES} are read")
    reader = _READERS.get((protocol, side.value))
    if reader is None:
        raise Malformed(f"there is no protocol {protocol!r:.40}")
    try:
        return reader(data, json_bytes)
    except Malformed:
        raise
    except (ValueError, TypeError, OverflowError, MemoryError, RecursionError, AttributeError) as error:
        # What numpy and json make of bytes nobody foresaw is not theirs to end a task with.
        raise Malformed(f"the message cannot be read ({type(error).__name__})") from None
