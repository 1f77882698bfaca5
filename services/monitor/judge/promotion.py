"""Is the candidate good enough? Bounds on both rates, never "nothing bad yet"."""

from __future__ import annotations

from dataclasses import dataclass

from services.monitor.judge import bounds

MANY = 2.0**30  # times what was seen: no number of requests


@dataclass(frozen=True)
class Rate:
    """Bad ones among all; a rate that goes on as it was may be at half a request."""

    bad: float
    total: float

    def times(self, factor: float) -> Rate:
        return Rate(self.bad * factor, self.total * factor)

    @property
    def seen(self) -> float:
        return self.bad / self.total if self.total else 0.0


@dataclass(frozen=True)
class Gap:
    """How much worse the candidate can be, and how much worse it may be."""

    upper: float  # its rate is at most this above the stable version's
    lower: float  # and at least this
    allowed: float

    @property
    def within(self) -> bool:
        return self.upper <= self.allowed

    @property
    def beyond(self) -> bool:
        return self.lower > self.allowed


def gap(stable: Rate, candidate: Rate, alpha: float, margin: float) -> Gap:
    """With confidence 1 - alpha for each direction.

    The margin is of what the stable version answers well. Where that fails itself, in an outage of both, little is left
    in which the candidate could show that it is good; an absolute margin would let anything through.
    """
    floor = bounds.lower(stable.bad, stable.total, alpha / 2)
    upper = bounds.upper(candidate.bad, candidate.total, alpha / 2) - floor
    lower = bounds.lower(candidate.bad, candidate.total, alpha / 2) - bounds.upper(stable.bad, stable.total, alpha / 2)
    return Gap(upper, lower, margin * (1 - floor))


def more_requests(stable: Rate, candidate: Rate, alpha: float, margin: float) -> int:
    """Of the candidate at the rates and the split seen so far until it is within; 0: no number will do."""

    def enough(factor: float) -> bool:
        return gap(stable.times(factor), candidate.times(factor), alpha, margin).within

    high = 2.0
    while not enough(high):
        high *= 2
        if high > MANY:
            return 0
    low = high / 2
    for _ in range(7):  # to 1 %
        middle = (low + high) / 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return max(1, round(candidate.total * (high - 1)))
