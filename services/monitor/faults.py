"""What a bad request says, and of whom. Pure."""

from __future__ import annotations

from enum import StrEnum

from services.monitor.intake.events import BadEvent
from services.monitor.statuses import EXHAUSTED, is_server_error

# Envoy's flags of a request that no node answered: the machines' doing until it goes on and on.
UNREACHED = frozenset({"UF", "UH", "UC", "LR", "UR"})


class Fault(StrEnum):
    """Of a bad request."""

    ERROR = "error"
    SLOW = "slow"
    UNANSWERED = "unanswered"
    NONE = "none"


def failed(event: BadEvent) -> bool:
    """As the counters see it: a status that is a server's fault."""
    return is_server_error(event.grpc_status, event.http_code)


def fault(event: BadEvent, slow_ms: float) -> Fault:
    """A failed request is not also slow; `slow_ms` 0: nothing is slow."""
    if not event.answered and UNREACHED & set(event.flags.split(",")):
        return Fault.UNANSWERED
    if failed(event) or (event.answered and event.grpc_status == EXHAUSTED):
        return Fault.ERROR
    return Fault.SLOW if 0 < slow_ms <= event.duration_ms else Fault.NONE
