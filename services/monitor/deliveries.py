"""Whether every bad request that the gateways counted was also told to us. Pure.

A promotion on missing news would be one on silence, so lost events have to be noticed: by counting on both sides. The
news may come a moment later than the counters show the request, or earlier.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

# Gateways send what happened after at most 0.2 s, and their counters are read once a second.
GRACE_SECONDS = 3.0


class Deliveries:
    """Counted and received events of one kind since counting began."""

    def __init__(self, counted: int = 0, received: int = 0, lost: int = 0) -> None:
        self._counted = counted
        self._received = received
        self._lost = lost
        self._due: deque[tuple[float, int]] = deque()

    def received(self) -> None:
        """One event was told."""
        self._received += 1

    def counted(self, events: int, now: float) -> int:
        """Gateways counted so many more; called at every look, also with 0. How many are given up as lost with this."""
        self._counted += events
        self._due.append((now, self._counted))
        while len(self._due) > 1 and self._due[1][0] <= now - GRACE_SECONDS:
            self._due.popleft()
        due = self._due[0][1] if self._due[0][0] <= now - GRACE_SECONDS else 0
        # News are quicker than counters, so more may have been told than is due: what is lost only ever grows.
        fresh = max(0, due - self._received - self._lost)
        self._lost += fresh
        return fresh

    def to_json(self) -> dict[str, Any]:
        """Sums only: what happens while nobody looks is due at once afterwards."""
        return {"counted": self._counted, "received": self._received, "lost": self._lost}

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> Deliveries:
        """Raises KeyError, TypeError or ValueError when it is not what `to_json` made."""
        return cls(int(kept["counted"]), int(kept["received"]), int(kept["lost"]))
