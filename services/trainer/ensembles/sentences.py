"""Verdicts on ensembles in words, with the numbers that they stand on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from services.trainer.ensembles.paired import Interval
from services.trainer.ensembles.rows import Kind

UNIT = {Kind.PROBABILITIES: "log loss", Kind.NUMBERS: "squared loss"}


@dataclass(frozen=True, slots=True)
class Told:
    """What a verdict is told with: `members` have weight, loss and gain; `rows` and `least` are tuning and test."""

    kind: Kind
    loss: Interval
    members: Mapping[str, tuple[float, Interval, Interval]]
    best: str
    rows: tuple[int, int]
    least: tuple[int, int]
    confidence: float

    @property
    def rival(self) -> str:
        """The member against which least can be said for the ensemble."""
        return min(self.members, key=lambda name: self.members[name][2].lower)


def say(verdict: str, told: Told) -> str:
    """One sentence for a `Verdict`."""
    alone = [name for name, (weight, _, _) in told.members.items() if weight == 1.0]
    if verdict == "too_few_rows":
        return _too_few(told)
    if alone and verdict == "not_better":
        return f"not better: all weight is on {alone[0]}; nothing that shows on other rows is gained with the others"
    if verdict == "worse":
        return f"worse than {told.best}, which was best on the tuning rows: {_compared(told, told.best)}"
    if verdict == "better":
        return f"better than every member; nearest is {told.rival}: {_compared(told, told.rival)}"
    return f"not surely better than {told.rival}: {_compared(told, told.rival)}"


def _too_few(told: Told) -> str:
    for where, rows, least in zip(("tuning", "test"), told.rows, told.least, strict=True):
        if rows < least:
            return f"too few rows to tell: {rows:,} independent {where} rows where {least:,} are needed"
    raise ValueError("there are enough rows")


def _compared(told: Told, member: str) -> str:
    _, loss, gain = told.members[member]
    return (
        f"{UNIT[told.kind]} {told.loss.mean:.4g} against {loss.mean:.4g}, a gain of {gain.mean:.3g} "
        f"({told.confidence:.0%} interval {gain.lower:.3g} to {gain.upper:.3g}) on {told.rows[1]:,} untouched rows"
    )
