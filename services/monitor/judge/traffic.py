"""What was counted of both versions: since the comparison began, and since the weights last changed."""

from __future__ import annotations

from collections import deque
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Self

from services.monitor.judge.evidence import Arm, Counts
from services.monitor.judge.kinds import Side

RECENT_SECONDS = 10.0


@dataclass
class Traffic:
    """Counts by side. Times are seconds, of the caller's clock."""

    arms: dict[Side, Arm]
    time: float = 0.0  # of the latest counts
    since: float = 0.0  # when the window began
    window: dict[Side, Counts] = field(default_factory=lambda: dict.fromkeys(Side, Counts()))
    recent: deque[tuple[float, int, int]] = field(default_factory=deque)  # time, stable's, candidate's
    asked: dict[Side, float] = field(default_factory=lambda: dict.fromkeys(Side, 0.0))  # when it last had a request
    lost: deque[tuple[float, int]] = field(default_factory=deque)  # time, events

    def add(self, time: float, stable: Counts, candidate: Counts) -> None:
        """To the totals."""
        self.time = max(self.time, time)
        for side, counts in ((Side.STABLE, stable), (Side.CANDIDATE, candidate)):
            self.arms[side] = self.arms[side].plus(counts)
            if counts.requests:
                self.asked[side] = max(self.asked[side], time)
        self.recent.append((time, stable.requests, candidate.requests))
        while self.recent[0][0] <= self.time - RECENT_SECONDS:
            self.recent.popleft()

    def compare(self, stable: Counts, candidate: Counts) -> None:
        """To the window: counts of a time in which shares were known and machines were well."""
        self.window[Side.STABLE] += stable
        self.window[Side.CANDIDATE] += candidate

    def begin_window(self, time: float) -> None:
        """Rates move with time, so versions are compared over times in which both had their share."""
        self.since = time
        self.window = dict.fromkeys(Side, Counts())

    def lose(self, time: float, events: int, keep: float) -> None:
        self.lost.append((time, events))
        while self.lost[0][0] < time - keep:
            self.lost.popleft()

    def lost_since(self, time: float) -> int:
        return sum(events for when, events in self.lost if when >= time)

    def arm(self, side: Side, now: float) -> Arm:
        """With the requests of the last seconds."""
        here = [counts for counts in self.recent if counts[0] > now - RECENT_SECONDS]
        recent = sum(stable if side is Side.STABLE else candidate for _, stable, candidate in here)
        return replace(self.arms[side], recent_requests=recent)

    def dump(self) -> dict[str, Any]:
        return asdict(self) | {"recent": list(self.recent), "lost": list(self.lost)}

    @classmethod
    def load(cls, stored: dict[str, Any]) -> Self:
        return cls(
            {Side(side): Arm(**arm) for side, arm in stored["arms"].items()},
            stored["time"],
            stored["since"],
            {Side(side): Counts(**counts) for side, counts in stored["window"].items()},
            deque((time, stable, candidate) for time, stable, candidate in stored["recent"]),
            {Side(side): time for side, time in stored["asked"].items()},
            deque((time, events) for time, events in stored["lost"]),
        )
