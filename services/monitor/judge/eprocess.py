"""Evidence from who got the next bad request: an e-process that may be looked at all the time.

Where a candidate gets the share p of requests at random, a bad request is its with probability at most p as long as it
is no worse than the stable version. Were its rate of bad requests r times the other's, the probability would be
t = p r / (p r + 1 - p). The likelihood ratio t/p (the candidate had it) or (1 - t)/(1 - p) (the stable version had it),
multiplied over bad requests and mixed over r, is a nonnegative supermartingale under "no worse": by Ville's inequality
it ever reaches 1/alpha with probability at most alpha. It needs neither the rate of bad requests, which may rise and
fall for both alike, nor the number of requests. Source: Lindon and Malek, Anytime-Valid Inference for Multinomial Count
Data, NeurIPS 2022, arXiv:2011.03567.

Two things are ours. Most of the stake is on large ratios: a version that breaks outright must be gone within few
requests, and a stake that is smaller by the factor k delays by log(k) only. And a tenth of the stake is held back,
to be put in later: a product over a long good time is next to nothing, and a version that turns bad after it would
have to make up for all of that. Moving a fixed part of the stake at moments that depend on the past only keeps the
supermartingale."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

RATIOS = (1.25, 1.5, 2.0, 3.0, 5.0, 10.0, 20.0, 50.0)
STAKES = tuple(part / 26 for part in (1, 1, 2, 2, 4, 6, 6, 4))
HELD_BACK = 0.1
EVENTS_PER_START = 8


def factors(share: float, ratios: Sequence[float] = RATIOS) -> tuple[list[float], list[float]]:
    """Logarithms of t/p and (1 - t)/(1 - p) for each ratio, for 0 < share < 1."""
    whole = [math.log1p(share * (ratio - 1)) for ratio in ratios]
    return [math.log(ratio) - log for ratio, log in zip(ratios, whole, strict=True)], [-log for log in whole]


def log_sum(logs: Sequence[float]) -> float:
    """log(sum(exp(logs))) without overflow."""
    top = max(logs)
    return top + math.log(sum(math.exp(log - top) for log in logs))


def put_in(start: int) -> float:
    """What the start-th later start gets of the stake; all of them together get what is held back."""
    return HELD_BACK / (start * (start + 1))


def held_back(starts: int) -> float:
    """What is left after so many later starts."""
    return HELD_BACK / (starts + 1)


@dataclass
class EProcess:
    """Wealth of a bet against "no worse", in logarithms, one entry a ratio."""

    logs: list[float]
    starts: int = 0  # later ones
    since: int = 0  # events since the latest start

    @classmethod
    def begin(cls) -> Self:
        """Evidence 1."""
        return cls([math.log((1 - HELD_BACK) * stake) for stake in STAKES])

    def observe(self, candidate: bool, share: float) -> None:
        """One bad request; it was the candidate's with probability `share` if that is no worse."""
        if not 0 < share < 1:
            return
        if self.since >= EVENTS_PER_START:
            self.begin_again()
        mine, others = factors(share)
        self.logs = [log + step for log, step in zip(self.logs, mine if candidate else others, strict=True)]
        self.since += 1

    def begin_again(self) -> None:
        """A part of what is held back is put in: from here on it counts as if all had begun now."""
        self.starts += 1
        self.since = 0
        fresh = put_in(self.starts)
        self.logs = [log_sum((log, math.log(fresh * stake))) for log, stake in zip(self.logs, STAKES, strict=True)]

    @property
    def log_evidence(self) -> float:
        return log_sum([*self.logs, math.log(held_back(self.starts))])

    @property
    def evidence(self) -> float:
        return bounded_exp(self.log_evidence)

    def copy(self) -> EProcess:
        return EProcess(list(self.logs), self.starts, self.since)

    def dump(self) -> dict[str, Any]:
        return asdict(self)


def bounded_exp(log: float) -> float:
    """A number that JSON and people can hold."""
    return math.exp(min(log, 690.0))
