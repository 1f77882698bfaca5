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
PARTS = {Kind.ERRORS: 4, Kind.SLOW: 1, Kind.OUTCOMES: 1, Kind.DISAGREEMENT: 1}
# For what the mathematics leaves out: forgotten clients, clocks that differ, evidence that was taken back.
KEPT = 0.1


def limits(alpha: float, judged: Collection[Kind]) -> dict[Kind, float]:
    """Evidence at which each judged kind rolls back: 1 / its part of alpha.

    The parts of the judged kinds add up to nine tenths of alpha: kinds that are not judged leave theirs to the others.
    Which are judged has to be settled before the first request: a choice made after looking is not covered by alpha.
    """
    whole = sum(PARTS[kind] for kind in judged)
    return {kind: whole / ((1 - KEPT) * alpha * PARTS[kind]) for kind in Kind if kind in judged}
