"""Which bad requests count: one a client and burst, and what a sticky client's next one can tell.

A client that sends the same poisonous request a hundred times is one story. Where each request is assigned at random,
its first bad request counts, and later ones only when the window has passed since the one that counted: a client that
always fails counts once a window. Whether a request counts depends on times and earlier requests only, never on which
version had it, so the probability that it is the candidate's stays the share.

With sticky routes a client stays with a version, and its second bad request says nothing that the first did not. A
client's place on the circle is uniform, and it is the candidate's as long as the share is above that place; raising the
share moves clients only towards the candidate. So each bad request narrows where the place can be, and what the next
one tells is judged with the share of what is left: 0 or 1, nothing, until the weights change; then a client of the
stable version has moved with the probability (new - old) / (1 - old), and one of the candidate has certainly stayed.
That is at most one event per client for a whole step, and fair over steps too: counting a client of the candidate anew
in each step would roll back a good version for one client that always fails.

At most `capacity` clients are remembered. The one whose last bad request is longest ago is forgotten first and counts
as new when it comes again; one that keeps failing is therefore kept.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any, Self

CAPACITY = 10_000
LATE_SECONDS = 60.0  # events may come so much out of order and still find their window


@dataclass
class Clients:
    """What is remembered of clients with bad requests of one kind."""

    window: float  # seconds
    capacity: int = CAPACITY
    counted: OrderedDict[str, float] = field(default_factory=OrderedDict)
    places: OrderedDict[str, tuple[float, float]] = field(default_factory=OrderedDict)

    def chance(self, client: str, time: float, candidate: bool, share: float, sticky: bool) -> float | None:
        """The probability that this request was the candidate's if that is no worse; None: it does not count."""
        if not 0 < share < 1:
            return None
        if sticky:
            return self._sticky(client, candidate, share)
        return share if self._first_of_burst(client, time) else None

    def _first_of_burst(self, client: str, time: float) -> bool:
        last = self.counted.pop(client, None)
        first = last is None or abs(time - last) >= self.window
        self.counted[client] = time if first or last is None else last
        self._forget(time - max(self.window, LATE_SECONDS))
        return first

    def _forget(self, before: float) -> None:
        while len(self.counted) > self.capacity or next(iter(self.counted.values())) < before:
            self.counted.popitem(last=False)

    def _sticky(self, client: str, candidate: bool, share: float) -> float | None:
        low, high = self.places.pop(client, (0.0, 1.0))
        narrowed = (low, min(high, share)) if candidate else (max(low, share), high)
        if narrowed[0] >= narrowed[1]:  # it is where it cannot be: another route, or another client by this name
            narrowed = (0.0, share) if candidate else (share, 1.0)
        self.places[client] = narrowed
        if len(self.places) > self.capacity:
            self.places.popitem(last=False)
        chance = (share - low) / (high - low)
        return chance if 0 < chance < 1 else None

    def dump(self) -> dict[str, Any]:
        return {
            "window": self.window,
            "capacity": self.capacity,
            "counted": list(self.counted.items()),
            "places": [[client, *place] for client, place in self.places.items()],
        }

    @classmethod
    def load(cls, stored: dict[str, Any]) -> Self:
        counted = OrderedDict((client, time) for client, time in stored["counted"])
        places = OrderedDict((client, (low, high)) for client, low, high in stored["places"])
        return cls(stored["window"], stored["capacity"], counted, places)
