"""Reports and what they amount to. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

PASSING_SCORE = 0.5


class Key(NamedTuple):
    """A request of a model, by the name that its client gave it."""

    model: str
    request_id: str


@dataclass(frozen=True, slots=True)
class OutcomeEvent:
    """One answer by weight that is known to have been right or wrong.

    `time` is that of the request. When the request was not `sampled`, only its report is known: `time` is the report's,
    `client` is empty, and that it went by weight is what its reporter says by reporting it.
    """

    time: float
    model: str
    version: int
    client: str
    request_id: str
    wrong: bool
    sampled: bool = True


@dataclass(frozen=True, slots=True)
class Given:
    """One reported outcome; `time` is when it became known, in seconds since 1970."""

    request_id: str
    label: str
    score: float
    time: float
    version: int = 0
    prediction: str = ""

    @property
    def complete(self) -> bool:
        """Whether it says all that is needed without the request."""
        return self.version > 0 and (bool(self.prediction) or not self.label)


@dataclass(frozen=True, slots=True)
class Seen:
    """What an outcome needs to know of its request."""

    time: float
    version: int
    client: str
    prediction: str
    by_weight: bool


def wrong(given: Given, prediction: str) -> bool | None:
    """Whether the answer was wrong; None when nobody knows what was predicted.

    Numbers are compared as numbers (3 and 3.0 are one label). Without a label a score below one half is wrong.
    """
    if not given.label:
        return given.score < PASSING_SCORE
    if not prediction:
        return None
    left, right = given.label.strip(), prediction.strip()
    return left != right and not _same_number(left, right)


def _same_number(left: str, right: str) -> bool:
    try:
        return math.isclose(float(left), float(right), rel_tol=1e-9)
    except ValueError:
        return False
