"""What happens to machines: kept apart from what versions do, unless it happens to one only, again and again."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any, Self

from services.monitor.judge.kinds import Side
from services.monitor.judge.promotion import Gap, Rate, gap

SETTLE_SECONDS = 10.0
BEFORE_SECONDS = 5.0  # a loss is noticed after the first requests have failed for it
TOO_MANY = 3
WITHIN_SECONDS = 600.0  # over a long comparison any two versions come to differ by as much
PATIENCE_SECONDS = 30.0
BLAME_ALPHA = 0.001  # of calling a spell the candidate's that is as likely the stable version's


class Infra(StrEnum):
    """Events that say nothing about a version."""

    NODE_LOST = "a node was lost"
    GATEWAY_RESTARTED = "a gateway restarted"
    COUNTERS_RESET = "a gateway's counters began anew"
    GATEWAY_SILENT = "a gateway does not tell its counters"
    MONITOR_RESTARTED = "the monitor was away"


@dataclass
class Spell:
    """A time in which requests of the candidate reached no server, without a pause as long as it takes to settle.

    Counted of both versions, since one lost request of the stable version does not excuse a thousand.
    """

    begun: float
    last: float
    unanswered: dict[Side, int] = field(default_factory=lambda: dict.fromkeys(Side, 0))
    requests: dict[Side, int] = field(default_factory=lambda: dict.fromkeys(Side, 0))

    def on(self, time: float) -> bool:
        return time - self.last <= SETTLE_SECONDS

    def gap(self, margin: float) -> Gap:
        """How many more of the candidate's requests reached no server."""
        stable, candidate = (
            Rate(min(self.unanswered[side], self.requests[side]), self.requests[side])
            for side in (Side.STABLE, Side.CANDIDATE)
        )
        return gap(stable, candidate, BLAME_ALPHA, margin)


@dataclass
class Interruptions:
    """Infra events of a comparison. Times are seconds, of the caller's clock."""

    events: int = 0
    until: float = 0.0  # judged again from then on
    latest: str = ""
    lost: dict[Side, list[float]] = field(default_factory=lambda: {side: [] for side in Side})  # when, lately
    spell: Spell | None = None  # the latest
    silent: float = 0.0  # when a gateway was last known not to tell its counters

    def happen(self, time: float, what: Infra, side: Side | None, settle: float) -> None:
        """`side` says whose node it was; None: of both, or of neither."""
        self.events += 1
        self.until = max(self.until, time + settle)
        self.latest = str(what)
        if what is Infra.NODE_LOST and side is not None:
            self._lose(time, side)

    def _lose(self, time: float, side: Side) -> None:
        """Nodes that are lost together, as with their rack, are lost once."""
        if not self.lost[side] or time - self.lost[side][-1] > SETTLE_SECONDS:
            self.lost[side].append(time)
        self.lost = {each: [at for at in times if at > time - WITHIN_SECONDS] for each, times in self.lost.items()}

    def unanswered(self, time: float, side: Side) -> None:
        """A request reached no server of this version."""
        self.events += 1
        if side is Side.CANDIDATE:
            if self.spell is None or not self.spell.on(time):
                self.spell = Spell(time, time)
            self.spell.last = max(self.spell.last, time)
        if self.spell is not None and self.spell.on(time):
            self.spell.unanswered[side] += 1

    def asked(self, time: float, stable: int, candidate: int) -> None:
        """So many requests of both versions."""
        if self.spell is not None and self.spell.on(time):
            self.spell.requests[Side.STABLE] += stable
            self.spell.requests[Side.CANDIDATE] += candidate

    def on(self, time: float) -> bool:
        return time < self.until

    def unreached(self, time: float, margin: float) -> bool:
        """Whether requests of the candidate reach no server, and nobody can say that these are as few as allowed."""
        return self.spell is not None and self.spell.on(time) and not self.spell.gap(margin).within

    def blames_candidate(self, margin: float) -> str:
        """What the candidate does to its nodes, if it is the candidate; else empty."""
        lost, others = len(self.lost[Side.CANDIDATE]), len(self.lost[Side.STABLE])
        if lost - others >= TOO_MANY:
            return f"its nodes were lost {lost} times in {WITHIN_SECONDS / 60:.0f} min, the other's {others} times"
        spell = self.spell
        if spell is None or spell.last - spell.begun < PATIENCE_SECONDS or not spell.gap(margin).beyond:
            return ""
        mine, other = (
            f"{spell.unanswered[side]:,} of {spell.requests[side]:,}" for side in (Side.CANDIDATE, Side.STABLE)
        )
        seconds = spell.last - spell.begun
        return f"within {seconds:.0f} s {mine} of its requests reached no server, {other} of the other's"

    def dump(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def load(cls, stored: dict[str, Any]) -> Self:
        lost = {Side(side): times for side, times in stored["lost"].items()}
        spell = _spell(stored["spell"]) if stored["spell"] else None
        return cls(stored["events"], stored["until"], stored["latest"], lost, spell, stored["silent"])


def _spell(stored: dict[str, Any]) -> Spell:
    unanswered, requests = (
        {Side(side): count for side, count in stored[what].items()} for what in ("unanswered", "requests")
    )
    return Spell(stored["begun"], stored["last"], unanswered, requests)
