"""One bad request of a model under comparison, as the gateway's access log tells it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from services.monitor.intake.clients import hashed
from services.monitor.intake.wire import text

ANSWERED = "via_upstream"


@dataclass(frozen=True, slots=True)
class BadEvent:
    """A failed or slow request.

    time           when it began, which is when its version was chosen; seconds since the epoch
    client         what a sticky route hashes; else x-bmase-client, else x-bmase-tenant, else the address it came from
    request_id     x-request-id, empty when the client sent none
    grpc_status    name of the gRPC status, empty for plain HTTP
    http_code      of the answer; 0 when there was none
    flags          Envoy's response flags, empty when there are none
    answered       whether the answer was a node's, and not the gateway's own
    stuck          False on a sticky route when there was nothing to hash: its version was chosen at random
    """

    time: float
    gateway: str
    model: str
    version: int
    client: str
    request_id: str
    grpc_status: str
    http_code: int
    flags: str
    duration_ms: float
    answered: bool = True
    stuck: bool = True


def attributes(pairs: Iterable[Any]) -> dict[str, str]:
    """OTLP's list of attributes as text; Envoy's `-` stands for nothing."""
    found = {text(pair.key): text(pair.value.string_value) for pair in pairs}
    return {key: "" if value == "-" else value for key, value in found.items()}


def event(nanoseconds: int, gateway: str, said: Mapping[str, str]) -> BadEvent | None:
    """The event that a log record holds; None when it names no model, so that it is not one of ours."""
    model = said.get("model", "")
    if not model:
        return None
    sticky, address = said.get("sticky", ""), said.get("address", "")
    stuck_by = hashed(sticky, said.get("sticky_key", ""), address)
    return BadEvent(
        time=nanoseconds / 1e9,
        gateway=gateway,
        model=model,
        version=_whole(said.get("version", "")),
        client=stuck_by or said.get("client") or address,
        request_id=said.get("request_id", ""),
        grpc_status=said.get("grpc_status", ""),
        http_code=_whole(said.get("http_code", "")),
        flags=said.get("flags", ""),
        duration_ms=float(_whole(said.get("duration_ms", ""))),
        answered=said.get("details", "") == ANSWERED,
        stuck=bool(stuck_by) or not sticky,
    )


def _whole(text: str) -> int:
    return int(text) if text.isdecimal() else 0
