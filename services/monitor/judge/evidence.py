"""What the judge says, with the numbers behind it: the same fields as `bmase.monitor.v1.Evidence`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from services.monitor.judge.kinds import Kind


class Verdict(StrEnum):
    """What to do with the candidate."""

    HOLD = "hold"
    PROMOTE = "promote"
    ROLLBACK = "rollback"


class Why(StrEnum):
    """The reason of a verdict, in the order in which they are asked about."""

    BAD_ERRORS = "BAD_ERRORS"
    BAD_SLOW = "BAD_SLOW"
    BAD_OUTCOMES = "BAD_OUTCOMES"
    DISAGREES = "DISAGREES"
    INFRA_CANDIDATE = "INFRA_CANDIDATE"  # its own nodes are lost again and again
    STALE = "STALE"
    INFRA = "INFRA"
    SPLIT_MISMATCH = "SPLIT_MISMATCH"
    NO_DATA = "NO_DATA"
    EVENTS_LOST = "EVENTS_LOST"
    SUSPECT = "SUSPECT"  # evidence is below the limit, but too high to go on
    ABOVE_MARGIN = "ABOVE_MARGIN"  # surely worse than the margin allows, though not by the kind that rolls back
    TOO_FEW = "TOO_FEW"
    GOOD = "GOOD"


BAD = {
    Kind.ERRORS: Why.BAD_ERRORS,
    Kind.SLOW: Why.BAD_SLOW,
    Kind.OUTCOMES: Why.BAD_OUTCOMES,
    Kind.DISAGREEMENT: Why.DISAGREES,
}


@dataclass(frozen=True)
class Policy:
    """Limits fixed before the first request, as `bmase.monitor.v1.JudgePolicy`, with defaults filled in."""

    alpha: float = 0.01
    promote_alpha: float = 0.05
    margin: float = 0.02
    slow_ms: float = 0.0  # 0: from the stable version before the start
    burst_seconds: float = 1.0
    max_disagreement: float = 0.0  # 0: not judged
    ignore_slow: bool = False
    ignore_outcomes: bool = False


@dataclass(frozen=True)
class Counts:
    """Weighted requests of one version in some time. A failed request is not also slow."""

    requests: int = 0
    errors: int = 0
    slow: int = 0

    def __add__(self, more: Counts) -> Counts:
        return Counts(self.requests + more.requests, self.errors + more.errors, self.slow + more.slow)

    @property
    def bad(self) -> int:
        return min(self.requests, self.errors + self.slow)


@dataclass(frozen=True)
class Arm:
    """One version since the comparison began."""

    version: int
    requests: int = 0
    errors: int = 0
    slow: int = 0
    outcomes: int = 0
    wrong: int = 0
    p50_ms: float = 0.0
    p99_ms: float = 0.0
    recent_requests: int = 0  # of the last 10 seconds

    def plus(self, counts: Counts) -> Arm:
        return replace(
            self,
            requests=self.requests + counts.requests,
            errors=self.errors + counts.errors,
            slow=self.slow + counts.slow,
        )

    def labelled(self, wrong: bool) -> Arm:
        return replace(self, outcomes=self.outcomes + 1, wrong=self.wrong + wrong)


@dataclass(frozen=True)
class Suspicion:
    """How strongly one kind of bad request speaks against the candidate."""

    kind: Kind
    evidence: float
    limit: float
    stable_events: int
    candidate_events: int
    stable_raw: int
    candidate_raw: int
    ratio: float


@dataclass(frozen=True)
class Evidence:
    """A verdict and everything it stands on."""

    time: float  # of the latest counts
    verdict: Verdict
    reason: Why
    message: str
    stable: Arm
    candidate: Arm
    suspicions: tuple[Suspicion, ...] = ()
    upper_difference: float = 1.0
    declared_share: float = 0.0
    realised_share: float = 0.0
    split_evidence: float = 1.0
    slow_ms: float = 0.0
    infra_events: int = 0
    lost_events: int = 0
    infra_until: float = 0.0
    more_requests: int = (
        0  # of the candidate at the present rates until it is good enough; 0: none, or no number will do
    )
