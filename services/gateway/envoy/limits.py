"""What an operator may choose about the way requests are treated; the same for all models unless a route says more."""

from __future__ import annotations

from dataclasses import dataclass

MEBIBYTE = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds and bytes; see `services.gateway.config` for how they are set.

    message_bytes         the largest unary request
    timeout               of a unary request after it arrived; 0: none
    receive               how long a unary request may take to arrive
    stream_idle           of any stream in which nothing moves
    retries               of a request that no node has begun to work on
    requests              in flight on one set of nodes
    connections           of clients
    heap_bytes            at which Envoy begins to shed load
    capture_percent       of the requests are shown to the monitor, of models that say nothing else
    captures_per_worker   requests of all models that one worker of Envoy shows in a second at most
    """

    message_bytes: int = 64 * MEBIBYTE
    timeout: float = 60.0
    receive: float = 120.0
    stream_idle: float = 3600.0
    retries: int = 2
    requests: int = 4096
    connections: int = 10_000
    heap_bytes: int = 4096 * MEBIBYTE
    capture_percent: float = 1.0
    captures_per_worker: int = 1000


def seconds(value: float) -> str:
    """A duration as Envoy's JSON has it."""
    return f"{value:.9f}".rstrip("0").rstrip(".") + "s"
