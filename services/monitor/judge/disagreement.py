"""Answers to replayed requests that differ between the versions, against the share that the policy allows."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from services.monitor.judge import bounds
from services.monitor.judge.eprocess import bounded_exp
from services.monitor.judge.evidence import Suspicion
from services.monitor.judge.kinds import Kind


@dataclass
class Disagreement:
    """Totals of a replay; the lower bound of the share is above `allowed` exactly when the evidence reaches `limit`."""

    allowed: float
    limit: float
    compared: int = 0
    disagreed: int = 0

    @property
    def evidence(self) -> float:
        if self.disagreed <= self.allowed * self.compared:
            return 1.0
        return bounded_exp(bounds.log_martingale(self.disagreed, self.compared, self.allowed))

    @property
    def over(self) -> bool:
        return self.evidence >= self.limit

    @property
    def suspicion(self) -> Suspicion:
        """Events are replayed requests: there is no stable side to a difference, so all are the candidate's."""
        ratio = self.disagreed / (self.allowed * self.compared) if self.compared else 0.0
        return Suspicion(Kind.DISAGREEMENT, self.evidence, self.limit, 0, self.disagreed, 0, self.disagreed, ratio)

    def dump(self) -> dict[str, Any]:
        return asdict(self)
