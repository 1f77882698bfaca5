"""Three kinds of metric, by how sure one can be of them: a share of rows, a mean of rows, and any other statistic.

Share      Wilson's interval; two versions by Bonett and Price's, with McNemar's exact test
Mean       Student's t; two versions by the t of their differences row by row
Resampled  percentiles of the bootstrap or a closed form; two versions by a bootstrap of the same rows of both
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from services.trainer.evaluation import intervals
from services.trainer.evaluation.answers import Answers, Array, Task
from services.trainer.evaluation.estimate import Better, Bounds, Difference, Estimate, Setting
from services.trainer.evaluation.resampling import Statistic, percentile, replicates


def _always(answers: Any) -> str:
    return ""


@dataclass(frozen=True)
class Metric(ABC):
    """What all metrics have. `missing` says what the answers lack for it; empty when they lack nothing."""

    name: str
    task: Task
    better: Better = Better.HIGHER
    smallest: float = 0.0
    largest: float = 1.0
    missing: Callable[[Any], str] = _always
    method: ClassVar[str] = ""
    paired_method: ClassVar[str] = ""

    def estimate(self, answers: Answers, setting: Setting, level: float = 0.0) -> Estimate:
        """The value with its interval, at the setting's level or another."""
        level = level or setting.level
        value = self.value(answers)
        ends = self._ends(answers, value, level, setting).within(self.smallest, self.largest)
        method = self._method()
        return Estimate(self.name, value, ends.low, ends.high, level, answers.rows, method, self.better)

    def difference(self, candidate: Answers, stable: Answers, setting: Setting) -> Difference:
        """Candidate minus stable; both must be about the same rows in the same order."""
        values = self.value(candidate), self.value(stable)
        ends, p_value = self._paired(candidate, stable, values[0] - values[1], setting)
        farthest = self.largest - self.smallest
        ends = ends.within(-farthest, farthest)
        return Difference(
            metric=self.name,
            value=values[0] - values[1],
            low=ends.low,
            high=ends.high,
            level=setting.level,
            rows=candidate.rows,
            method=self.paired_method,
            better=self.better,
            candidate=values[0],
            stable=values[1],
            p_value=p_value,
        )

    @abstractmethod
    def value(self, answers: Any) -> float: ...

    def _at_least(self, ends: Bounds, rows: int, level: float) -> Bounds:
        """Versions that answer alike on all rows may differ on others: as far as if all rows were pairs of hits.

        Where the metric has no largest value there is no such bound, and the interval stays one point.
        """
        if not ends.flat or math.isinf(self.largest):
            return ends
        alike = intervals.paired_shares(0, 0, rows, level)
        return Bounds(ends.low + alike.low * self.largest, ends.high + alike.high * self.largest)

    def _method(self) -> str:
        return self.method

    @abstractmethod
    def _ends(self, answers: Any, value: float, level: float, setting: Setting) -> Bounds: ...

    @abstractmethod
    def _paired(self, candidate: Any, stable: Any, value: float, setting: Setting) -> tuple[Bounds, float | None]: ...


@dataclass(frozen=True)
class Share(Metric):
    """The share of rows that are hits: `hits` gives (n,) bool."""

    hits: Callable[[Any], Array] = field(kw_only=True)
    method = "Wilson"
    paired_method = "Bonett-Price; p by McNemar's exact test"

    def value(self, answers: Any) -> float:
        return float(np.mean(self.hits(answers)))

    def _ends(self, answers: Any, value: float, level: float, setting: Setting) -> Bounds:
        return intervals.wilson(int(self.hits(answers).sum()), answers.rows, level)

    def _paired(self, candidate: Any, stable: Any, value: float, setting: Setting) -> tuple[Bounds, float | None]:
        new, old = self.hits(candidate), self.hits(stable)
        gained, lost = int((new & ~old).sum()), int((old & ~new).sum())
        ends = intervals.paired_shares(gained, lost, candidate.rows, setting.level)
        return ends, intervals.mcnemar(gained, lost)


@dataclass(frozen=True)
class Mean(Metric):
    """The mean of what each row brings: `each` gives (n,) float64."""

    each: Callable[[Any], Array] = field(kw_only=True)
    method = "Student's t"
    paired_method = "Student's t of the rows' differences"

    def value(self, answers: Any) -> float:
        return float(np.mean(self.each(answers)))

    def _ends(self, answers: Any, value: float, level: float, setting: Setting) -> Bounds:
        ends = intervals.student(self.each(answers), level)
        if not ends.flat or math.isinf(self.largest):
            return ends
        return intervals.as_share(value, self.largest, answers.rows, level)

    def _paired(self, candidate: Any, stable: Any, value: float, setting: Setting) -> tuple[Bounds, float | None]:
        ends = intervals.student(self.each(candidate) - self.each(stable), setting.level)
        return self._at_least(ends, candidate.rows, setting.level), None


@dataclass(frozen=True)
class Resampled(Metric):
    """Any statistic: `point` gives its value, `statistic` the same on many weightings of the rows at once.

    `closed` is an interval by formula where there is a good one (with its name in `formula`). `trials`: how many
    independent chances for a mistake the rows are at least; where no resample differs, for example because there was no
    mistake at all, the interval is as wide as Wilson's for a share of so many.
    """

    point: Callable[[Any], float] = field(kw_only=True)
    statistic: Callable[[Any], Statistic] = field(kw_only=True)
    closed: Callable[[Any, float], Bounds] | None = None
    formula: str = ""
    read: Callable[[Array, float, float], Bounds] = percentile
    trials: Callable[[Any], int] | None = None
    method = "bootstrap"
    paired_method = "bootstrap of the same rows"

    def value(self, answers: Any) -> float:
        return self.point(answers)

    def _method(self) -> str:
        return self.formula or self.method

    def _ends(self, answers: Any, value: float, level: float, setting: Setting) -> Bounds:
        if self.closed is not None:
            return self.closed(answers, level)
        found = replicates(self.statistic(answers), answers.rows, setting)
        ends = self.read(found, value, level)
        if self.trials is None or not ends.flat:
            return ends
        return intervals.as_share(value, self.largest, self.trials(answers), level)

    def _paired(self, candidate: Any, stable: Any, value: float, setting: Setting) -> tuple[Bounds, float | None]:
        new, old = self.statistic(candidate), self.statistic(stable)
        found = replicates(lambda weights: new(weights) - old(weights), candidate.rows, setting)
        trials = self.trials(candidate) if self.trials is not None else candidate.rows
        return self._at_least(percentile(found, value, setting.level), trials, setting.level), None
