"""What is in a record of the gateways' logs: names and texts. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from services.monitor.intake.wire import text

DIGITS = 18


def attributes(pairs: Iterable[Any]) -> dict[str, str]:
    """OTLP's list of attributes as text; Envoy's `-` stands for nothing."""
    found = {text(pair.key): text(pair.value.string_value) for pair in pairs}
    return {key: "" if value == "-" else value for key, value in found.items()}


def whole(text: str) -> int:
    """A number; 0 for what is none. Clients write some of these texts."""
    return int(text) if text.isdecimal() and len(text) <= DIGITS else 0
