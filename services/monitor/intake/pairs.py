"""A sampled request and its answer, as the gateway's log of pairs tells them. Pure."""

from __future__ import annotations

import binascii
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Literal

from services.monitor.intake.clients import client
from services.monitor.intake.records import whole

Protocol = Literal["grpc", "http"]

_FRAME = struct.Struct(">BI")
# What the gateway's script writes in front of a body in base64, so that one without bytes differs from none.
_COPIED = "="


@dataclass(frozen=True, slots=True)
class Pair:
    """A sampled request and its answer, as they were on the wire.

    time                     when it began; seconds since the epoch
    via                      how the version was chosen: weight, version or override
    client                   what a sticky route hashes; else x-bmase-client, x-bmase-tenant, the address it came from
    request_id               x-request-id, empty when the client sent none; the protocol's own `id` is in `request`
    request, response        gRPC: one message each, `response` is empty when the call failed; HTTP: the bodies
    status                   name of the gRPC status, or the HTTP code
    duration_ms              from the first byte of the request to the last of the answer, by the gateway's clock
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

    BROKEN = "broken"  # the answer was not whole, or a body was larger than the gateway copies
    COMPRESSED = "compressed"  # a gRPC answer that would have to be unpacked
    NOT_OURS = "not ours"  # no version answered


def pair(nanoseconds: int, gateway: str, said: Mapping[str, str]) -> Pair | Unfit:
    """What a log record holds."""
    version, grpc = whole(said.get("version", "")), said.get("content_type", "").startswith("application/grpc")
    if not said.get("model") or not version:
        return Unfit.NOT_OURS
    request, response = _body(said.get("request", "")), _body(said.get("response", ""))
    if request is None or response is None:
        return Unfit.BROKEN
    if grpc:
        request, response = _message(request), _message(response)
        if request is None or response is None:
            return Unfit.COMPRESSED
    return Pair(
        time=nanoseconds / 1e9,
        gateway=gateway,
        model=said["model"],
        version=version,
        via=said.get("via", ""),
        client=client(said),
        request_id=said.get("request_id", ""),
        protocol="grpc" if grpc else "http",
        request=request,
        response=response,
        status=said.get("grpc_status") or "UNKNOWN" if grpc else said.get("http_code", ""),
        duration_ms=whole(said.get("duration_us", "")) / 1000,
        request_header_length=0 if grpc else whole(said.get("request_length", "")),
        response_header_length=0 if grpc else whole(said.get("response_length", "")),
        request_encoding="" if grpc else said.get("request_encoding", ""),
        response_encoding="" if grpc else said.get("response_encoding", ""),
    )


def _body(said: str) -> bytes | None:
    """None: there is no copy, or none that is whole."""
    if not said.startswith(_COPIED):
        return None
    try:
        return binascii.a2b_base64(said[len(_COPIED) :])
    except binascii.Error:
        return None


def _message(body: bytes) -> bytes | None:
    """The one message of a gRPC body, empty when there is none; None when it is packed or not whole."""
    if len(body) < _FRAME.size:
        return b""
    packed, length = _FRAME.unpack_from(body)
    return None if packed or len(body) - _FRAME.size != length else body[_FRAME.size :]
