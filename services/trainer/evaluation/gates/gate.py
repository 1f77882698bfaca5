"""A gate that was understood, and what came of it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from services.trainer.evaluation.documents import Document

# A metric, a column or a value that needs no quotation marks.
WORD = r"[^\W\d][\w@./-]*"


class Demand(StrEnum):
    """What is asked of the figure."""

    AT_LEAST = ">="
    ABOVE = ">"
    AT_MOST = "<="
    BELOW = "<"
    NO_WORSE = "no worse than stable"
    BETTER = "better than stable"

    @property
    def against_stable(self) -> bool:
        return self in (Demand.NO_WORSE, Demand.BETTER)


@dataclass(frozen=True)
class Gate(Document):
    """`str` gives the gate as it would be written; parsing that gives the same gate."""

    metric: str
    demand: Demand
    limit: float  # the margin, which is not negative, in the tests against the stable version
    column: str = ""
    value: str | None = None  # None: every slice of the column
    point: bool = False  # the measured value decides, not the safe end of its interval

    def __str__(self) -> str:
        value = "" if self.value is None else f"={_written(self.value)}"
        where = f"slice({_written(self.column)}{value}) " if self.column else ""
        by = " by" if self.demand.against_stable else ""
        limit = "" if self.demand is Demand.BETTER and not self.limit else f"{by} {self.limit!r}"
        return f"{'point ' if self.point else ''}{where}{self.metric} {self.demand}{limit}"


def _written(text: str) -> str:
    """In quotation marks where it is no plain word."""
    if re.fullmatch(WORD, text):
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


class Outcome(StrEnum):
    """What came of a gate."""

    PASSED = "passed"
    FAILED = "failed"
    NOT_APPLICABLE = "not applicable"


@dataclass(frozen=True)
class Answer(Document):
    """One gate's outcome, with the figures it rests on (of the worst slice, where there are several)."""

    gate: str
    outcome: Outcome
    sentence: str
    value: float | None = None  # measured; candidate minus stable in the tests against the stable version
    bound: float | None = None  # what was held against the limit
    limit: float | None = None
    slice: str = ""


@dataclass(frozen=True)
class Decision(Document):
    """All gates of a version."""

    answers: tuple[Answer, ...]

    @property
    def passed(self) -> bool:
        return all(each.outcome is not Outcome.FAILED for each in self.answers)

    @property
    def message(self) -> str:
        """One sentence: which gates failed and why, or that none did."""
        failed = [each for each in self.answers if each.outcome is Outcome.FAILED]
        if not failed:
            return f"all {len(self.answers)} gates passed" if self.answers else "there are no gates"
        return "; ".join(f"gate `{each.gate}` failed: {each.sentence}" for each in failed)
