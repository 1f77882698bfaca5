"""Trials as plain data: what was tried and what it came to. They go into checkpoints and into the evidence."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

FORMAT = 1


class State(StrEnum):
    """How a trial ended."""

    COMPLETE = "complete"
    PRUNED = "pruned"  # it was worse than most had been at that point
    FAILED = "failed"  # the code raised, or the metric was never a number


@dataclass(frozen=True)
class Trial:
    """`drawn`: what the sampler drew, of choices their place; `parameters`: what the code was given of the space.

    `reports`: the metric each time that it was told; `value`: the best of them, None when there was none.
    """

    number: int
    drawn: Mapping[str, float]
    parameters: Mapping[str, Any]
    state: State
    reports: tuple[float, ...] = ()
    value: float | None = None
    message: str = ""


def best_value(reports: Sequence[float], direction: str) -> float | None:
    """The best number among them; None when there is none."""
    numbers = [value for value in reports if math.isfinite(value)]
    if not numbers:
        return None
    return min(numbers) if direction == "minimize" else max(numbers)


def best_of(trials: Sequence[Trial], direction: str) -> Trial | None:
    """The best of the complete ones, the first among equals."""
    complete = [trial for trial in trials if trial.state is State.COMPLETE and trial.value is not None]
    sign = 1 if direction == "minimize" else -1
    return min(complete, key=lambda trial: (sign * (trial.value or 0.0), trial.number), default=None)


def to_plain(trials: Sequence[Trial]) -> dict[str, Any]:
    """Numbers, texts, lists and dicts alone: nothing of it needs code to be read again."""
    rows = [{**asdict(trial), "state": str(trial.state), "reports": list(trial.reports)} for trial in trials]
    return {"format": FORMAT, "trials": rows}


def from_plain(plain: Mapping[str, Any]) -> list[Trial]:
    """What `to_plain` gave."""
    if plain["format"] != FORMAT:
        raise ValueError(f"the trials have format {plain['format']}, not {FORMAT}")
    return [Trial(**{**row, "state": State(row["state"]), "reports": tuple(row["reports"])}) for row in plain["trials"]]
