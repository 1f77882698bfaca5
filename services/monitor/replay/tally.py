"""What a replay has found so far. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from bmase.monitor.v1 import monitor_pb2 as pb

from services.monitor.replay.interval import interval

ALPHA = 0.01  # the bounds hold at every message of progress, not only at the last
MAX_EXAMPLES = 10
PATIENCE, LONGEST_PATIENCE = 2.0, 10.0  # seconds
TIMES_STABLE = 10


@dataclass(frozen=True, slots=True)
class Round:
    """One request put to both versions; a version that failed has no answer to compare."""

    request_id: str
    stable_ms: float
    candidate_ms: float
    stable_failed: bool
    candidate_failed: bool
    disagreed: bool


@dataclass
class Tally:
    """Counts over rounds; `compared` are those that both versions answered."""

    total: int
    done: int = 0
    disagreed: int = 0
    candidate_failed: int = 0
    stable_failed: int = 0
    longest_ms: float = 0.0  # of the stable version's answers; 0: none yet
    stable_ms: list[float] = field(default_factory=list)
    candidate_ms: list[float] = field(default_factory=list)
    examples: list[str] = field(default_factory=list)

    @property
    def patience(self) -> float:
        """Seconds that the candidate has for an answer: one that hangs shall not take all of the replay's time."""
        longest = TIMES_STABLE * self.longest_ms / 1000 or LONGEST_PATIENCE
        return min(max(PATIENCE, longest), LONGEST_PATIENCE)

    @property
    def compared(self) -> int:
        """Rounds that say whether the versions agree."""
        return len(self.candidate_ms)

    def add(self, one: Round) -> None:
        """One more round. What the stable version refuses says nothing about the candidate."""
        self.done += 1
        self.longest_ms = max(self.longest_ms, 0.0 if one.stable_failed else one.stable_ms)
        if one.stable_failed:
            self.stable_failed += 1
        elif one.candidate_failed:
            self.candidate_failed += 1
        else:
            self._compare(one)

    def _compare(self, one: Round) -> None:
        self.stable_ms.append(one.stable_ms)
        self.candidate_ms.append(one.candidate_ms)
        if one.disagreed:
            self.disagreed += 1
            if len(self.examples) < MAX_EXAMPLES:
                self.examples.append(one.request_id)

    def message(self) -> pb.ReplaySamplesResponse:
        """The tally as the contract shows it; with nothing compared the share may be anything."""
        low, high = interval(self.disagreed, self.compared, ALPHA)
        return pb.ReplaySamplesResponse(
            done=self.done,
            total=self.total,
            disagreed=self.disagreed,
            candidate_failed=self.candidate_failed,
            stable_failed=self.stable_failed,
            stable_p50_ms=_quantile(self.stable_ms, 50),
            candidate_p50_ms=_quantile(self.candidate_ms, 50),
            stable_p99_ms=_quantile(self.stable_ms, 99),
            candidate_p99_ms=_quantile(self.candidate_ms, 99),
            disagreement_low=low,
            disagreement_high=high,
            examples=self.examples,
        )


def _quantile(values: list[float], percent: float) -> float:
    return float(np.percentile(values, percent)) if values else 0.0
