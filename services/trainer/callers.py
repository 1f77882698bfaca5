"""Who calls, for what is kept of it."""

from __future__ import annotations

from services.kit.interceptors import current_call

SOMEBODY = "somebody"


def caller() -> str:
    """By its token, or by the name that it gives itself."""
    call = current_call.get(None)
    given = call.metadata.get("x-bmase-client", "") if call else ""
    shown = "".join(c for c in given if c.isprintable())[:64]
    return (call.principal if call else "") or shown or SOMEBODY
