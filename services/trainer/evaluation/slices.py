"""Parts of the held-out rows: where is a version worse than on the whole?

Every slice has two intervals. The plain one is for "is it good enough there?". The wide one is for "which slice is
worse?": all wide ones together hold at the setting's level, however many slices are looked at (Bonferroni).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from services.kit.errors import InvalidArgument, Violation
from services.trainer.evaluation.answers import Answers, Array
from services.trainer.evaluation.documents import Document
from services.trainer.evaluation.estimate import Better, Bounds, Difference, Estimate, Setting
from services.trainer.evaluation.metrics.metric import Metric

MOST_VALUES = 20  # a numeric column with more different numbers is cut into bins
MISSING = "missing"

Edges = Mapping[str, Sequence[float]]


@dataclass(frozen=True)
class Look(Document):
    """One metric on one slice."""

    estimate: Estimate
    wide: Bounds
    worse: bool  # than on all rows: the whole of the wide interval is
    difference: Difference | None = None  # to the version now stable, on the slice's rows


@dataclass(frozen=True)
class Slice(Document):
    """The rows of one value or bin of a column."""

    column: str
    value: str
    rows: int
    looks: tuple[Look, ...]
    left_out: dict[str, str]  # metric -> why it cannot be had here

    @property
    def name(self) -> str:
        return f"{self.column}={self.value}"

    def look(self, metric: str) -> Look | None:
        return next((one for one in self.looks if one.estimate.metric == metric), None)


@dataclass(frozen=True)
class Skipped(Document):
    """Values of a column with too few rows each to be looked at."""

    column: str
    values: int
    rows: int


@dataclass(frozen=True)
class Slices(Document):
    """All that were looked at."""

    found: tuple[Slice, ...]
    skipped: tuple[Skipped, ...]
    looks: int  # what the wide intervals are corrected for

    @property
    def worse(self) -> tuple[Slice, ...]:
        return tuple(each for each in self.found if any(look.worse for look in each.looks))


@dataclass(frozen=True)
class Part:
    """The indices (n,) of the rows of a slice."""

    column: str
    value: str
    rows: Array


def slices(
    answers: Answers,
    columns: Mapping[str, Array],
    metrics: Sequence[Metric],
    setting: Setting,
    *,
    edges: Edges | None = None,
    stable: Answers | None = None,
) -> Slices:
    """Each column's values, or bins, by each metric; `edges` are the inner ends of a column's bins."""
    parts = list(cut(columns, answers.rows, setting, edges or {}))
    large = [part for part in parts if len(part.rows) >= setting.smallest]
    small = [part for part in parts if len(part.rows) < setting.smallest]
    looks = max(1, len(large) * len(metrics))
    whole = {each.name: each.value(answers) for each in metrics}
    survey = _Survey(answers, stable, tuple(metrics), whole, looks, setting)
    return Slices(tuple(survey.slice(part) for part in large), tuple(_skipped(small)), looks)


@dataclass(frozen=True, eq=False)
class _Survey:
    """What is the same for all slices."""

    answers: Answers
    stable: Answers | None
    metrics: tuple[Metric, ...]
    whole: Mapping[str, float]
    looks: int
    setting: Setting

    def slice(self, part: Part) -> Slice:
        own = self.answers.take(part.rows)
        other = self.stable.take(part.rows) if self.stable is not None else None
        lacks = {each.name: each.missing(own) or (each.missing(other) if other else "") for each in self.metrics}
        found = [self.look(each, own, other) for each in self.metrics if not lacks[each.name]]
        left_out = {name: why for name, why in lacks.items() if why}
        return Slice(part.column, part.value, len(part.rows), tuple(found), left_out)

    def look(self, metric: Metric, own: Answers, other: Answers | None) -> Look:
        plain = metric.estimate(own, self.setting)
        far = metric.estimate(own, self.setting, level=1 - (1 - self.setting.level) / self.looks)
        whole = self.whole[metric.name]
        worse = far.high < whole if metric.better is Better.HIGHER else far.low > whole
        difference = metric.difference(own, other, self.setting) if other is not None else None
        return Look(plain, Bounds(far.low, far.high), worse, difference)


def _skipped(small: Sequence[Part]) -> Iterator[Skipped]:
    for column in dict.fromkeys(part.column for part in small):
        sizes = [len(part.rows) for part in small if part.column == column]
        yield Skipped(column, len(sizes), sum(sizes))


def cut(columns: Mapping[str, Array], rows: int, setting: Setting, edges: Edges) -> Iterator[Part]:
    """Every row is in exactly one part of each column; InvalidArgument where a column does not fit the rows."""
    wrong = {name: _wrong(given, columns.get(name)) for name, given in edges.items()}
    if any(wrong.values()):
        raise InvalidArgument([Violation(f"edges[{name}]", why) for name, why in wrong.items() if why])
    for name, given in columns.items():
        values = np.asarray(given)
        if values.shape != (rows,):
            raise InvalidArgument([Violation(f"columns[{name}]", f"has shape {values.shape}, not ({rows},)")])
        if values.dtype.kind not in "biuf":
            yield from _by_value(name, np.array([_word(value) for value in values]))
        elif name in edges or len(np.unique(values[~np.isnan(values.astype(np.float64))])) > MOST_VALUES:
            yield from _by_bin(name, values.astype(np.float64), setting.cuts, edges.get(name))
        else:
            yield from _by_value(name, np.array([_word(value) for value in values]))


def _wrong(edges: Sequence[float], column: Array | None) -> str:
    """Why a column cannot be cut at these edges; empty when it can."""
    if column is None:
        return "there is no such column"
    if np.asarray(column).dtype.kind not in "biuf":
        return "the column does not hold numbers"
    return "" if len(edges) and np.isfinite(edges).all() else "have to be numbers, one at least"


def _word(value: object) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if value is None or value != value:  # noqa: PLR0124 - not a number
        return MISSING
    # The shortest that no other number of its type has: what is rounded may fall together with its neighbour.
    return str(value + 0).removesuffix(".0") if isinstance(value, float | np.floating) else str(value)


def _by_value(column: str, words: Array) -> Iterator[Part]:
    names, place = np.unique(words, return_inverse=True)
    order = np.argsort(place, kind="stable")
    ends = np.cumsum(np.bincount(place, minlength=len(names)))[:-1]
    for name, chosen in zip(names, np.split(order, ends), strict=True):
        yield Part(column, str(name), chosen)


def _apart(numbers: Array) -> list[str]:
    """With six digits, or as many more as it takes to tell them apart: times in seconds differ in the last ones."""
    for digits in range(6, 18):
        words = [f"{number:.{digits}g}" for number in numbers]
        if len(set(words)) == len(words):
            break
    return words


def _by_bin(column: str, values: Array, cuts: int, edges: Sequence[float] | None) -> Iterator[Part]:
    """A number on an edge belongs below it; by default the edges are quantiles."""
    there = np.flatnonzero(~np.isnan(values))
    if edges is None:
        edges = [float(edge) for edge in np.quantile(values[there], np.arange(1, cuts) / cuts)]
    inner = np.unique(edges)
    said = _apart(inner)
    names = [f"{said[0]} and below", *(f"above {edge}" for edge in said)]
    names[1:-1] = [f"{low} to {high}" for low, high in pairwise(said)]
    place = np.searchsorted(inner, values[there], side="left")
    for at, name in enumerate(names):
        chosen = there[place == at]
        if len(chosen):
            yield Part(column, name, chosen)
    if len(there) < len(values):
        yield Part(column, MISSING, np.flatnonzero(np.isnan(values)))
