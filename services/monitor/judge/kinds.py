"""What can speak against a candidate, and how much of alpha each of it may use."""

from __future__ import annotations

from collections.abc import Collection
from enum import StrEnum


class Side(StrEnum):
    """Whose request it was."""

    STABLE = "stable"
    CANDIDATE = "candidate"


class Kind(StrEnum):
    """Kinds of bad requests; each has evidence of its own."""

    ERRORS = "errors"
    SLOW = "slow"
    OUTCOMES = "outcomes"
    DISAGREEMENT = "disagreement"


# Errors harm at once and are the most common way to break, so they get the largest part.
PARTS = {Kind.ERRORS: 0.6, Kind.SLOW: 0.2, Kind.OUTCOMES: 0.2, Kind.DISAGREEMENT: 0.2}


def limits(alpha: float, judged: Collection[Kind]) -> dict[Kind, float]:
    """Evidence at which each judged kind rolls back: 1 / its part of alpha.

    The parts of the judged kinds add up to alpha, so kinds that are not judged leave theirs to the others. Which are
    judged has to be settled before the first request: a choice made after looking would not be covered by alpha.
    """
    whole = sum(PARTS[kind] for kind in judged)
    return {kind: whole / (alpha * PARTS[kind]) for kind in Kind if kind in judged}
