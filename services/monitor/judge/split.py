"""Is traffic split as it was told to be? Where it is not, shares are wrong and evidence means nothing.

Each request is the candidate's with the declared share, so the counts of a second have the likelihood ratio
(t/p)^candidate * ((1 - t)/(1 - p))^stable against any other split t; mixed over odds to both sides it is a
martingale while the split is right (the two-valued case of Lindon and Malek, arXiv:2011.03567, whose use is this
check). Counts are sums, so seconds can be added up as they come. Sticky routes are not checked: there not requests
but clients are assigned, and a few large ones make any split."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Any

from services.monitor.judge.eprocess import bounded_exp, factors, log_sum

UP = (1.05, 1.1, 1.2, 1.5, 2.0, 3.0)
ODDS = (*(1 / odds for odds in UP), *UP)
LIMIT = 1000.0  # false alarms: at most one in a thousand shares


@dataclass
class Split:
    """Requests since the weights last changed, against the share declared then."""

    share: float
    stable: int = 0
    candidate: int = 0
    logs: list[float] = field(default_factory=lambda: [0.0] * len(ODDS))

    def add(self, stable: int, candidate: int) -> None:
        """Requests of a time in which this share was in effect at every gateway."""
        self.stable += stable
        self.candidate += candidate
        if 0 < self.share < 1:
            mine, others = factors(self.share, ODDS)
            steps = zip(self.logs, mine, others, strict=True)
            self.logs = [log + candidate * up + stable * down for log, up, down in steps]

    @property
    def evidence(self) -> float:
        return bounded_exp(log_sum(self.logs) - math.log(len(ODDS)))

    @property
    def realised(self) -> float:
        """0 before the first request."""
        return self.candidate / max(1, self.stable + self.candidate)

    @property
    def mismatch(self) -> bool:
        return self.evidence >= LIMIT

    @property
    def too_much(self) -> bool:
        """The candidate gets more than declared: its bad requests would be held against it too hard.

        Too little is the safe side: a declared share above the real one makes evidence weaker, not stronger.
        """
        return self.mismatch and self.realised > self.share

    def dump(self) -> dict[str, Any]:
        return asdict(self)
