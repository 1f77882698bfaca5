"""One kind of bad request: its evidence, and how it got there."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Self

from services.monitor.judge.clients import Clients
from services.monitor.judge.eprocess import EProcess
from services.monitor.judge.evidence import Suspicion
from services.monitor.judge.kinds import Kind, Side


@dataclass(frozen=True)
class Tally:
    """Events that counted; with the weights of Mantel and Haenszel, so that the ratio holds over changing shares."""

    stable: int = 0
    candidate: int = 0
    stable_weight: float = 0.0  # sum of p over events of the stable version
    candidate_weight: float = 0.0  # sum of 1 - p over events of the candidate

    def plus(self, candidate: bool, share: float) -> Tally:
        if candidate:
            return replace(self, candidate=self.candidate + 1, candidate_weight=self.candidate_weight + 1 - share)
        return replace(self, stable=self.stable + 1, stable_weight=self.stable_weight + share)

    @property
    def ratio(self) -> float:
        """How many times likelier to be bad than the stable version's; 0: the stable version had none."""
        return self.candidate_weight / self.stable_weight if self.stable_weight else 0.0


@dataclass(frozen=True)
class Mark:
    """What can be gone back to: evidence before some moment."""

    time: float
    process: EProcess
    tally: Tally


@dataclass
class Suspect:
    """Bad requests of one kind, as they come."""

    kind: Kind
    limit: float
    clients: Clients
    process: EProcess = field(default_factory=EProcess.begin)
    tally: Tally = Tally()
    raw: dict[Side, int] = field(default_factory=lambda: dict.fromkeys(Side, 0))
    trail: list[Mark] = field(default_factory=list)  # of the last seconds, at most one a second
    step: Mark | None = None  # when the present share began

    def observe(self, side: Side, client: str, time: float, *, share: float, sticky: bool, keep: float) -> None:
        """One bad request; `keep` seconds of the way here can be taken back."""
        candidate = side is Side.CANDIDATE
        chance = self.clients.chance(client, time, candidate, share, sticky)
        if chance is None or not 0 < chance < 1:
            return
        self._leave_mark(time, keep)
        self.process.observe(candidate, chance)
        self.tally = self.tally.plus(candidate, chance)

    def _leave_mark(self, time: float, keep: float) -> None:
        if not self.trail or time >= self.trail[-1].time + 1:
            self.trail = [mark for mark in self.trail if mark.time >= time - keep - 1]
            self.trail.append(self._mark(time))

    def _mark(self, time: float) -> Mark:
        return Mark(time, self.process.copy(), self.tally)

    def new_share(self, time: float) -> None:
        """The weights changed: what is good or bad may be different from here on."""
        if self.step is not None:
            self.process.begin_again()
        self.step = self._mark(time)

    def take_back(self, since: float) -> None:
        """Evidence from that moment on is none."""
        mark = next((mark for mark in self.trail if mark.time >= since), None)
        if mark is not None:
            self._return_to(mark)
            self.trail = [kept for kept in self.trail if kept.time < mark.time]
            if self.step is not None and self.step.time >= since:
                self.step = self._mark(self.step.time)

    def take_back_step(self) -> None:
        """Evidence since the present share began is none."""
        if self.step is not None:
            self._return_to(self.step)
            self.trail = []

    def start_over(self) -> None:
        """Gives up what speaks against the candidate: evidence above 1 may always be thrown away, never below."""
        if self.process.evidence > 1:
            self.process, self.tally, self.trail = EProcess.begin(), Tally(), []
            self.step = self._mark(self.step.time) if self.step is not None else None

    def _return_to(self, mark: Mark) -> None:
        self.process, self.tally = mark.process.copy(), mark.tally

    @property
    def over(self) -> bool:
        return self.process.evidence >= self.limit

    @property
    def suspicion(self) -> Suspicion:
        return Suspicion(
            self.kind,
            self.process.evidence,
            self.limit,
            self.tally.stable,
            self.tally.candidate,
            self.raw[Side.STABLE],
            self.raw[Side.CANDIDATE],
            self.tally.ratio,
        )

    def dump(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "limit": self.limit,
            "clients": self.clients.dump(),
            "process": self.process.dump(),
            "tally": vars(self.tally),
            "raw": self.raw,
            "trail": [_dump_mark(mark) for mark in self.trail],
            "step": _dump_mark(self.step) if self.step else None,
        }

    @classmethod
    def load(cls, stored: dict[str, Any]) -> Self:
        return cls(
            Kind(stored["kind"]),
            stored["limit"],
            Clients.load(stored["clients"]),
            EProcess(**stored["process"]),
            Tally(**stored["tally"]),
            {Side(side): count for side, count in stored["raw"].items()},
            [_load_mark(mark) for mark in stored["trail"]],
            _load_mark(stored["step"]) if stored["step"] else None,
        )


def _dump_mark(mark: Mark) -> dict[str, Any]:
    return {"time": mark.time, "process": mark.process.dump(), "tally": vars(mark.tally)}


def _load_mark(stored: dict[str, Any]) -> Mark:
    return Mark(stored["time"], EProcess(**stored["process"]), Tally(**stored["tally"]))
