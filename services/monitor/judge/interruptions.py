"""What happens to machines: kept apart from what versions do, unless it happens to one only, again and again."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any, Self

from services.monitor.judge.kinds import Side

SETTLE_SECONDS = 10.0
BEFORE_SECONDS = 5.0  # a loss is noticed after the first requests have failed for it
TOO_MANY = 3
PATIENCE_SECONDS = 30.0


class Infra(StrEnum):
    """Events that say nothing about a version."""

    NODE_LOST = "a node was lost"
    GATEWAY_RESTARTED = "a gateway restarted"
    COUNTERS_RESET = "a gateway's counters began anew"
    GATEWAY_SILENT = "a gateway does not tell its counters"
    MONITOR_RESTARTED = "the monitor was away"


@dataclass
class Spell:
    """A time in which requests of one version reached no server, without a pause as long as it takes to settle."""

    begun: float
    last: float


@dataclass
class Interruptions:
    """Infra events of a comparison. Times are seconds, of the caller's clock."""

    events: int = 0
    until: float = 0.0  # judged again from then on
    latest: str = ""
    lost: dict[Side, int] = field(default_factory=lambda: dict.fromkeys(Side, 0))
    lost_at: dict[Side, float] = field(default_factory=dict)  # the latest of these
    spells: dict[Side, Spell] = field(default_factory=dict)

    def happen(self, time: float, what: Infra, side: Side | None, settle: float) -> None:
        """`side` says whose node it was; None: of both, or of neither."""
        self.events += 1
        self.until = max(self.until, time + settle)
        self.latest = str(what)
        if what is Infra.NODE_LOST and side is not None:
            self._lose(time, side)

    def _lose(self, time: float, side: Side) -> None:
        """Nodes that are lost together, as with their rack, are lost once."""
        if time - self.lost_at.get(side, -math.inf) > SETTLE_SECONDS:
            self.lost[side] += 1
            self.lost_at[side] = time

    def unanswered(self, time: float, side: Side) -> None:
        """A request reached no server of this version."""
        self.events += 1
        spell = self.spells.get(side)
        if spell is None or time - spell.last > SETTLE_SECONDS:
            self.spells[side] = Spell(time, time)
        else:
            spell.last = max(spell.last, time)

    def on(self, time: float) -> bool:
        return time < self.until

    def blames_candidate(self) -> str:
        """What the candidate does to its nodes, if it is the candidate; else empty."""
        ahead = self.lost[Side.CANDIDATE] - self.lost[Side.STABLE]
        if ahead >= TOO_MANY:
            return f"its nodes were lost {self.lost[Side.CANDIDATE]} times, the other's {self.lost[Side.STABLE]} times"
        mine, other = self.spells.get(Side.CANDIDATE), self.spells.get(Side.STABLE)
        alone = mine is not None and (other is None or other.last < mine.begun)
        if mine is not None and alone and mine.last - mine.begun >= PATIENCE_SECONDS:
            return f"its requests reached no server for {mine.last - mine.begun:.0f} s, the other's did"
        return ""

    def dump(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def load(cls, stored: dict[str, Any]) -> Self:
        lost = {Side(side): count for side, count in stored["lost"].items()}
        lost_at = {Side(side): time for side, time in stored["lost_at"].items()}
        spells = {Side(side): Spell(**spell) for side, spell in stored["spells"].items()}
        return cls(stored["events"], stored["until"], stored["latest"], lost, lost_at, spells)
