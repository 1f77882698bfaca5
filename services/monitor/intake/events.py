"""One bad request of a model under comparison, as the gateway's access log tells it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from services.monitor.intake.clients import client, unnamed
from services.monitor.intake.records import whole

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


def event(nanoseconds: int, gateway: str, said: Mapping[str, str]) -> BadEvent | None:
    """The event that a log record holds; None when it names no model, so that it is not one of ours."""
    model = said.get("model", "")
    if not model:
        return None
    return BadEvent(
        time=nanoseconds / 1e9,
        gateway=gateway,
        model=model,
        version=whole(said.get("version", "")),
        client=client(said),
        request_id=said.get("request_id", ""),
        grpc_status=said.get("grpc_status", ""),
        http_code=whole(said.get("http_code", "")),
        flags=said.get("flags", ""),
        duration_ms=float(whole(said.get("duration_ms", ""))),
        answered=said.get("details", "") == ANSWERED,
        stuck=not unnamed(said),
    )
