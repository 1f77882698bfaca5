"""Whose fault an answer was, by its status alone."""

from __future__ import annotations

# What a server does wrong. UNIMPLEMENTED, INVALID_ARGUMENT and their like are what clients ask for; RESOURCE_EXHAUSTED
# may come from the gateway's own limits, and is the server's only when it is known that an upstream said it.
SERVER_ERRORS = frozenset({"UNKNOWN", "DEADLINE_EXCEEDED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"})
EXHAUSTED = "RESOURCE_EXHAUSTED"
_NO_STATUS = frozenset({"", "-"})


def is_server_error(status: str, code: int) -> bool:
    """`status` is the gRPC status' name, empty or `-` for plain HTTP, where `code` decides."""
    return code >= 500 if status in _NO_STATUS else status in SERVER_ERRORS
