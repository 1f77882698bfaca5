"""Whether every bad request that the gateways counted was also told to us. Pure.

A promotion on missing news would be one on silence, so lost events have to be noticed: by counting on both sides. The
news may come a moment later than the counters show the request, or earlier.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any

# Gateways send what happened after at most 0.2 s, and their counters are read once a second.
GRACE_SECONDS = 3.0


class Deliveries:
    """Counted and received events of one kind since counting began."""

    def __init__(self, counted: int = 0, received: int = 0, lost: int = 0) -> None:
        self._counted = counted
        self._received = received
        self._lost = lost
        self._before = received  # at the last look
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
        self._before = self._received
        return fresh

    def reset(self) -> None:
        """Counters began anew: what was told until the last look and not counted by then never will be."""
        self._received -= max(0, self._before - self._counted - self._lost)

    def to_json(self) -> dict[str, Any]:
        """Sums only: what happens while nobody looks is due at once afterwards."""
        return {"counted": self._counted, "received": self._received, "lost": self._lost}

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> Deliveries:
        """Raises KeyError, TypeError or ValueError when it is not what `to_json` made."""
        return cls(int(kept["counted"]), int(kept["received"]), int(kept["lost"]))


class News:
    """Deliveries of each gateway and version: what one gateway tells too much of is not what another keeps back."""

    def __init__(self) -> None:
        self._places: dict[tuple[str, str], Deliveries] = {}

    def received(self, gateway: str, version: str) -> None:
        """One event was told."""
        self._place(gateway, version).received()

    def counted(self, version: str, events: Mapping[str, int], now: float) -> int:
        """By gateway, what came since the last look; how many are given up as lost with this."""
        gateways = {*events, *(gateway for gateway, other in self._places if other == version)}
        return sum(self._place(gateway, version).counted(events.get(gateway, 0), now) for gateway in gateways)

    def reset(self, gateway: str) -> None:
        """Its counters began anew."""
        for place, deliveries in self._places.items():
            if place[0] == gateway:
                deliveries.reset()

    def _place(self, gateway: str, version: str) -> Deliveries:
        return self._places.setdefault((gateway, version), Deliveries())

    def to_json(self) -> list[Any]:
        return [[*place, deliveries.to_json()] for place, deliveries in self._places.items()]

    @classmethod
    def from_json(cls, kept: Iterable[Any]) -> News:
        """Raises KeyError, TypeError or ValueError when it is not what `to_json` made."""
        made = cls()
        made._places = {(gateway, version): Deliveries.from_json(one) for gateway, version, one in kept}
        return made
