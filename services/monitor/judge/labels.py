"""Do labels come of both versions as requests do? If of the candidate only, each wrong one would speak against it.

Who labels chooses what to label. A wrong answer is evidence only if its label would have come of either version: then
each label is the candidate's with at most its share. The same test as of the split, to one side, on labelled requests;
on sticky routes on labelled clients.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Self

from services.monitor.judge.clients import Clients
from services.monitor.judge.eprocess import bounded_exp, factors, log_sum

# Up to labels of the candidate alone: noticed before as many wrong ones of it would roll it back.
ODDS = (1.5, 3.0, 10.0, 50.0)
LIMIT = 100.0  # false alarms: at most in one comparison of a hundred, and they only hold


@dataclass
class Labels:
    """Labelled requests of both versions, against the shares of their time."""

    clients: Clients
    stable: int = 0
    candidate: int = 0
    logs: list[float] = field(default_factory=lambda: [0.0] * len(ODDS))

    def add(self, client: str, time: float, candidate: bool, share: float, sticky: bool) -> None:
        """One, right or wrong."""
        chance = self.clients.chance(client, time, candidate, share, True) if sticky else share
        if chance is None or not 0 < chance < 1:
            return
        self.candidate += candidate
        self.stable += not candidate
        mine, others = factors(chance, ODDS)
        self.logs = [log + step for log, step in zip(self.logs, mine if candidate else others, strict=True)]

    @property
    def evidence(self) -> float:
        return bounded_exp(log_sum(self.logs) - math.log(len(ODDS)))

    @property
    def one_sided(self) -> bool:
        """More of them are the candidate's than its share of requests."""
        return self.evidence >= LIMIT

    def dump(self) -> dict[str, Any]:
        return {**vars(self), "clients": self.clients.dump()}

    @classmethod
    def load(cls, stored: dict[str, Any]) -> Self:
        return cls(**{**stored, "clients": Clients.load(stored["clients"])})
