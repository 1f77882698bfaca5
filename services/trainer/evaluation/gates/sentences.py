"""Why a gate passed or failed, in one sentence with the numbers it rests on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from services.trainer.evaluation.estimate import Difference, Estimate
from services.trainer.evaluation.gates.gate import Demand, Gate
from services.trainer.evaluation.slices import Skipped, Slice

_WORDS = {
    Demand.AT_LEAST: "at least",
    Demand.ABOVE: "above",
    Demand.AT_MOST: "at most",
    Demand.BELOW: "below",
}
MANY = 1e9  # rows: nobody has more


@dataclass(frozen=True)
class Held:
    """A figure held against a limit."""

    figure: Estimate | Difference
    demand: Demand  # a plain one: of the figure, which is a difference in the tests against the stable version
    limit: float
    bound: float
    point: bool
    passed: bool
    good: bool  # the measured value alone would pass
    room: float  # between bound and limit; negative when it is beyond
    needed: int  # rows, where there are too few; else 0
    slice: str
    against: int  # the stable version's number in such a test; else 0


def of(held: Held) -> str:
    """For one figure."""
    figure = held.figure
    value, bound, limit = told(figure.value, held.bound, held.limit)
    head = f"{_subject(held)} is {value} on {figure.rows:,} rows"
    asked = f"{_WORDS[held.demand]} {limit}"
    if held.needed:
        return f"{head}: too few, a gate needs {held.needed}"
    if held.point:
        return f"{head}, as measured {asked}" if held.passed else f"{head}, and has to be {asked}"
    upward = held.demand in (Demand.AT_LEAST, Demand.ABOVE)
    if held.passed:
        return f"{head}; the {'lower' if upward else 'upper'} end of its {_level(held)} interval, {bound}, is {asked}"
    if not held.good:
        return f"{head}, and has to be {asked}"
    reach = f"as {'low' if upward else 'high'} as {bound} ({_level(held)} interval)"
    return f"{head}, but may be {reach}, and has to be {asked}{_rows_that_settle(held)}"


def of_slices(worst: Held, failed: int, looked_at: int) -> str:
    """For the worst of several."""
    if looked_at == 1:
        return of(worst)
    count = f"{failed} of {looked_at} slices fail" if failed else f"all {looked_at} slices pass"
    return f"{count}; the worst: {of(worst)}"


def too_small(skipped: Skipped | None) -> str:
    """What a gate on all slices leaves open; empty when that is nothing."""
    if skipped is None:
        return ""
    values = f"{skipped.values} other value{'s' if skipped.values > 1 else ''} of {skipped.column}"
    return f"; nothing is known of {values}, with {skipped.rows:,} rows in all"


def no_such_slice(gate: Gate, there: Sequence[Slice], smallest: int) -> str:
    """The named slice was not looked at."""
    known = ", ".join(each.value for each in there[:8]) or "none"
    more = f" and {len(there) - 8} more" if len(there) > 8 else ""
    return f"no slice {gate.column}={gate.value} with at least {smallest} rows; there are: {known}{more}"


def told(*numbers: float) -> tuple[str, ...]:
    """With four digits, or as many more as it takes to tell numbers apart that are not equal."""
    for digits in range(4, 17):
        words = tuple(f"{number:.{digits}g}" for number in numbers)
        if len(set(words)) == len(set(numbers)):
            break
    return words


def _subject(held: Held) -> str:
    metric = held.figure.metric + (f" on {held.slice}" if held.slice else "")
    return f"{metric} minus that of the stable version {held.against}" if held.against else metric


def _level(held: Held) -> str:
    return f"{100 * held.figure.level:g} %"


def _rows_that_settle(held: Held) -> str:
    """The interval's width goes with one by the root of the rows."""
    distance, half = abs(held.figure.value - held.limit), abs(held.figure.value - held.bound)
    if not distance or not math.isfinite(half):
        return ""
    rows = held.figure.rows * (half / distance) ** 2
    return f"; about {float(f'{rows:.2g}'):,.0f} rows would settle it if it stays so" if rows < MANY else ""
