"""Puts a request and its answer together from the pieces that Envoy sends. Pure."""

from __future__ import annotations

import struct
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Literal

from services.monitor.intake import wire
from services.monitor.intake.clients import hashed

Protocol = Literal["grpc", "http"]

# Attributes by the expressions that gateways are told to send.
ROUTE, VIA, ADDRESS = "xds.route_name", "xds.route_metadata.filter_metadata['bmase']['via']", "source.address"
HEADER = "request.headers['{}']"
STICKY = "xds.route_metadata.filter_metadata['bmase']['sticky']"
STICKY_KEY = f"request.headers[{STICKY}]"
LENGTH_HEADER = "inference-header-content-length"

_FRAME = struct.Struct(">BI")
_GRPC_STATUS = (
    *("OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS"),
    *("PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED"),
    *("INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED"),
)


@dataclass(frozen=True, slots=True)
class Pair:
    """A sampled request and its answer, as they were on the wire.

    time                     when the monitor heard of it; seconds since the epoch
    via                      how the version was chosen: weight, version or override
    client                   what a sticky route hashes; else x-bmase-client, x-bmase-tenant, the address it came from
    request_id               x-request-id, empty when the client sent none; the protocol's own `id` is in `request`
    request, response        gRPC: one message each, `response` is empty when the call failed; HTTP: the bodies
    status                   name of the gRPC status, or the HTTP code
    duration_ms              from the whole request to the whole answer, as the monitor saw them come
    *_header_length          HTTP with binary tensors: bytes of JSON before them; 0: all is JSON
    *_encoding               HTTP: content-encoding of the body, empty: none
    """

    time: float
    gateway: str
    model: str
    version: int
    via: str
    client: str
    request_id: str
    protocol: Protocol
    request: bytes
    response: bytes
    status: str
    duration_ms: float
    request_header_length: int = 0
    response_header_length: int = 0
    request_encoding: str = ""
    response_encoding: str = ""

    @property
    def size(self) -> int:
        """Bytes of both bodies."""
        return len(self.request) + len(self.response)


class Unfit(Enum):
    """Why what was sampled became no pair."""

    BROKEN = "broken"  # the request ended before its answer did
    COMPRESSED = "compressed"  # a gRPC answer that would have to be unpacked
    NOT_OURS = "not ours"  # no version answered


@dataclass(slots=True)
class Assembly:
    """One request on its way: its body, with attributes; the head of the answer; the body of the answer.

    `take` returns True when the answer is whole. gRPC's trailers are not waited for: a unary answer that has its one
    message was a success, and a failure is told in the head.
    """

    gateway: str
    clock: Callable[[], float] = time.monotonic
    begun: float = field(default_factory=time.time)
    size: int = 0
    _asked_at: float = 0.0
    _said: dict[str, str] = field(default_factory=dict)
    _head: dict[str, str] = field(default_factory=dict)
    _request: list[bytes] = field(default_factory=list)
    _response: list[bytes] = field(default_factory=list)

    @property
    def model(self) -> str:
        """Empty until the first piece has come."""
        return self._said.get(ROUTE, "")

    @property
    def grpc(self) -> bool:
        """The protocol; known with the first piece."""
        return self._asked("content-type").startswith("application/grpc")

    def take(self, message: Any) -> bool:
        """One `ProcessingRequest`."""
        if message.attributes:
            self._said.update(wire.attributes(message))
        if message.HasField("request_body"):
            self._asked_at = self.clock()
            self._add(self._request, message.request_body)
            return False
        if message.HasField("response_headers"):
            self._head = wire.headers(message.response_headers.headers.headers)
            return bool(message.response_headers.end_of_stream)
        if message.HasField("response_body"):
            self._add(self._response, message.response_body)
            return bool(message.response_body.end_of_stream) or (self.grpc and self._message_is_whole())
        return False

    def _add(self, parts: list[bytes], piece: Any) -> None:
        if piece.body:
            parts.append(piece.body)
            self.size += len(piece.body)

    def _message_is_whole(self) -> bool:
        first = b"".join(self._response[: _FRAME.size])[: _FRAME.size]
        announced = _FRAME.unpack(first)[1] if len(first) == _FRAME.size else -1
        return sum(map(len, self._response)) - _FRAME.size == announced

    def _asked(self, name: str) -> str:
        return self._said.get(HEADER.format(name), "")

    def _client(self) -> str:
        address = _host(self._said.get(ADDRESS, ""))
        stuck_by = hashed(self._said.get(STICKY, ""), self._said.get(STICKY_KEY, ""), address)
        return stuck_by or self._asked("x-bmase-client") or self._asked("x-bmase-tenant") or address

    def pair(self) -> Pair | Unfit:
        """What came of it, once `take` said that it is whole."""
        version, grpc = self._head.get("x-bmase-version", ""), self.grpc
        if not self.model or not version.isdecimal():
            return Unfit.NOT_OURS
        request, response = b"".join(self._request), b"".join(self._response)
        if grpc:
            bare = _message(request), _message(response)
            if bare[0] is None or bare[1] is None:
                return Unfit.COMPRESSED
            request, response = bare[0], bare[1]
        asked, head = self._asked, self._head
        return Pair(
            time=self.begun,
            gateway=self.gateway,
            model=self.model,
            version=int(version),
            via=self._said.get(VIA, ""),
            client=self._client(),
            request_id=asked("x-request-id"),
            protocol="grpc" if grpc else "http",
            request=request,
            response=response,
            status=_grpc_status(head.get("grpc-status", "0")) if grpc else head.get(":status", ""),
            duration_ms=1000 * (self.clock() - self._asked_at),
            request_header_length=0 if grpc else _whole(asked(LENGTH_HEADER)),
            response_header_length=0 if grpc else _whole(head.get(LENGTH_HEADER, "")),
            request_encoding="" if grpc else asked("content-encoding"),
            response_encoding="" if grpc else head.get("content-encoding", ""),
        )


def _grpc_status(number: str) -> str:
    place = int(number) if number.isdecimal() else 2
    return _GRPC_STATUS[place] if place < len(_GRPC_STATUS) else "UNKNOWN"


def _message(body: bytes) -> bytes | None:
    """The one message of a gRPC body, empty when there is none; None when it is packed or not whole."""
    if len(body) < _FRAME.size:
        return b""
    packed, length = _FRAME.unpack_from(body)
    return None if packed or len(body) - _FRAME.size != length else body[_FRAME.size :]


def _host(address: str) -> str:
    """`127.0.0.1` of `127.0.0.1:8080`, `::1` of `[::1]:8080`."""
    return address.rpartition(":")[0].strip("[]")


def _whole(text: str) -> int:
    return int(text) if text.isdecimal() else 0
