"""Metric series of two runs, step by step: the first step at which they part is where the training went another way."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from services.trainer.reproduce.documents import Document
from services.trainer.reproduce.tolerance import Bound, Tolerance

Series = Mapping[str, Mapping[int, float]]  # metric -> step -> value


class Parting(Document):
    """One series that is not equal. `step` is the first that is unequal at all, and `beyond_step` the first beyond
    the bound (None: never); the values are those at the latter, or at the former if there is none. A value is None
    where a run has none at that step. `absolute` is the greatest difference of steps that both have.
    """

    metric: str
    step: int
    beyond_step: int | None
    before: float | None
    now: float | None
    unequal: int
    steps: int
    absolute: float = 0.0
    absolute_at: int | None = None

    def __str__(self) -> str:
        at = self.step if self.beyond_step is None else self.beyond_step
        return f"{self.metric} parts at step {at} ({_said(self.before)}, now {_said(self.now)})"


def compare_series(before: Series, now: Series, tolerance: Tolerance) -> tuple[Parting, ...]:
    """Those that part, the earliest first. Without a bound every unequal step is beyond it."""
    names = sorted(name for name in before.keys() | now.keys() if not tolerance.ignores(name))
    found = (_parting(name, before.get(name, {}), now.get(name, {}), tolerance.series) for name in names)
    return tuple(sorted((each for each in found if each is not None), key=_earliest))


def _earliest(parting: Parting) -> tuple[bool, int, str]:
    at = parting.beyond_step
    return at is None, parting.step if at is None else at, parting.metric


def _parting(name: str, before: Mapping[int, float], now: Mapping[int, float], bound: Bound | None) -> Parting | None:
    steps = sorted(before.keys() | now.keys())
    unequal = [step for step in steps if not _equal(before.get(step), now.get(step))]
    if not unequal:
        return None
    beyond = next((step for step in unequal if not _within(before.get(step), now.get(step), bound)), None)
    at = unequal[0] if beyond is None else beyond
    gaps = list(_gaps(before, now, unequal))
    greatest, greatest_at = max(gaps, key=lambda gap: gap[0], default=(0.0, None))
    return Parting(
        metric=name,
        step=unequal[0],
        beyond_step=beyond,
        before=before.get(at),
        now=now.get(at),
        unequal=len(unequal),
        steps=len(steps),
        absolute=greatest,
        absolute_at=greatest_at,
    )


def _gaps(before: Mapping[int, float], now: Mapping[int, float], steps: list[int]) -> Iterator[tuple[float, int]]:
    for step in steps:
        if step in before and step in now:
            gap = abs(now[step] - before[step])
            yield (gap if math.isfinite(gap) else math.inf), step


def _equal(before: float | None, now: float | None) -> bool:
    if before is None or now is None:
        return before is now
    return before == now or (math.isnan(before) and math.isnan(now))


def _within(before: float | None, now: float | None, bound: Bound | None) -> bool:
    if bound is None or before is None or now is None or not (math.isfinite(before) and math.isfinite(now)):
        return False
    return abs(now - before) <= bound.absolute + bound.relative * abs(before)


def _said(value: float | None) -> str:
    return "nothing" if value is None else f"{value:.9g}"
