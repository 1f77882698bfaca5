"""A comparison as a monitor would feed it: version 2 is stable, version 3 the candidate."""

from __future__ import annotations

import random

from services.monitor.judge.evidence import Counts, Evidence, Policy
from services.monitor.judge.kinds import Kind, Side
from services.monitor.judge.slow import Histogram
from services.monitor.judge.verdict import Judge

BEFORE = Histogram((5.0, 10.0, 25.0, 50.0), (0, 990, 1000, 1000, 1000))  # slow above 25 ms
START = 1_000_000.0


class Court:
    """Traffic at 100 requests per second; every bad request has a client of its own."""

    def __init__(self, policy: Policy | None = None, seed: int = 1, share: float = 0.1, sticky: bool = False) -> None:
        self.judge = Judge.begin(policy or Policy(), stable=2, candidate=3, before=BEFORE)
        self.now = START
        self.share: float | None = share
        self.sticky = sticky
        self._dice = random.Random(seed)
        self._clients = 0

    def second(self, stable: float = 0.0, candidate: float = 0.0, slow: float = 0.0, requests: int = 100) -> Evidence:
        """One more, with these probabilities of errors, and of slow requests of the candidate; real share 10 %."""
        counts = dict.fromkeys(Side, Counts())
        for number in range(requests):
            side = Side.CANDIDATE if self._dice.random() < (self.share or 0.1) else Side.STABLE
            failed = self._dice.random() < (candidate if side is Side.CANDIDATE else stable)
            slowed = not failed and side is Side.CANDIDATE and self._dice.random() < slow
            counts[side] += Counts(1, failed, slowed)
            if failed or slowed:
                self.bad(side, Kind.ERRORS if failed else Kind.SLOW, self.now + number / requests)
        self.now += 1
        self.judge.counts(self.now, counts[Side.STABLE], counts[Side.CANDIDATE], share=self.share, sticky=self.sticky)
        return self.judge.evidence(self.now)

    def seconds(self, count: int, stable: float = 0.0, candidate: float = 0.0, slow: float = 0.0) -> Evidence:
        """Stops early when the candidate is rolled back."""
        found = self.second(stable, candidate, slow)
        for _ in range(count - 1):
            if self.judge.rolled_back:
                break
            found = self.second(stable, candidate, slow)
        return found

    def lose(self, stable: int = 0, candidate: int = 0, requests: int = 100) -> None:
        """A second in which so many requests reach no server, of which a tenth are the candidate's."""
        for side, lost in ((Side.STABLE, stable), (Side.CANDIDATE, candidate)):
            for _ in range(lost):
                self.judge.unanswered(self.now, side)
        self.now += 1
        mine = requests // 10
        counts = Counts(requests - mine, errors=stable), Counts(mine, errors=candidate)
        self.judge.counts(self.now, *counts, share=self.share, sticky=self.sticky)

    def bad(self, side: Side, kind: Kind = Kind.ERRORS, time: float | None = None, client: str = "") -> None:
        self._clients += 1
        name = client or f"client-{self._clients}"
        self.judge.bad(kind, side, name, self.now if time is None else time, share=self.share, sticky=self.sticky)

    def label(self, side: Side, wrong: bool) -> None:
        self._clients += 1
        self.judge.outcome(side, f"client-{self._clients}", self.now, wrong, share=self.share, sticky=self.sticky)
