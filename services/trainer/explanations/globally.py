"""What a version looks at on the whole: permutation importance with intervals, and the mean size of Shapley values.

Sources: Breiman, Random Forests, Machine Learning 45 (2001), section 10; Fisher, Rudin and Dominici, All Models are
Wrong, but Many are Useful, JMLR 20 (2019), 177; Lundberg and Lee, A Unified Approach to Interpreting Model
Predictions (NeurIPS 2017).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

import numpy as np
from bmase.explaining.portable import local, players
from bmase.explaining.portable.players import Players
from bmase.training import Cases

from services.kit.errors import InvalidArgument, Violation
from services.trainer.evaluation.estimate import Bounds
from services.trainer.evaluation.intervals import student
from services.trainer.explanations.document import Explanation, Importance, Input
from services.trainer.explanations.losses import Loss, loss_for

Array = np.ndarray
Arrays = Mapping[str, Array]
Predict = Callable[[Arrays], Arrays]
Clock = Callable[[], float]
LEVEL = 0.95
LEAST_ROWS = 30  # that the time is spent on at least
BACKGROUND_ROWS, SHARE_ROWS = 8, 32
MOST_SHARED = 1000  # parts; the fit of one row's Shapley values takes a second with so many, and grows with their cube
PERMUTING = 0.7  # of the time; Shapley values get the rest
AT_ONCE = 256  # rows that the model is asked in one call
MOST_VALUES, MOST_CELLS = 20_000, 8_000_000  # of the output: in a row, and in all rows together


def explain_globally(
    predict: Predict,
    cases: Cases,
    *,
    task: str = "",
    output: str = "",
    logits: bool = False,
    names: Mapping[str, Collection[str]] | None = None,
    keep: Collection[str] = (),
    patch: int = 0,
    rows: int = 500,
    repeats: int = 5,
    seconds: float = 60.0,
    seed: int = 0,
    clock: Clock = time.monotonic,
) -> Explanation:
    """Ranks the parts of the input by how much worse (or, without truth, how different) answers get without them.

    predict   inputs (n, ...) to outputs (n, ...), for any n
    output    the tensor that is judged; empty: the first. `logits`: of classifications, scores before the softmax
    names     what the places of an input are called: input -> names
    keep      inputs that are left as they are
    rows      of the cases are used at most, fewer when `seconds` are not enough for all parts

    InvalidArgument where cases and answers do not fit together.
    """
    random = np.random.default_rng(seed)
    begun = clock()
    cases = _taken(cases, min(rows, _count(cases)), random)
    model = _Model(predict, output)
    cases = _first(cases, MOST_CELLS // model.values(cases.inputs))
    before = clock()
    base = model.answers(cases.inputs)
    parts = _players(cases.inputs, names or {}, keep, patch)
    taken = clock() - before
    pace = taken / len(base)
    affordable = _affordable(len(base), taken, parts.count, seconds * PERMUTING)
    if affordable < len(base):
        cases, base = _first(cases, affordable), base[:affordable]
    told, loss = loss_for(task, cases.truth, base, logits=logits)
    permuting = _Permuting(model, cases.inputs, parts, loss, random)
    done = permuting.run(repeats, begun + seconds * PERMUTING, clock)
    shares = _shares(model, cases.inputs, parts, deadline=begun + seconds, clock=clock, seed=seed, pace=pace)
    return Explanation(
        loss=told,
        base_loss=float(permuting.base.mean()),
        output=model.output,
        level=LEVEL,
        rows=len(base),
        repeats=done,
        share_rows=len(shares),
        seed=seed,
        patch=patch,
        whole=permuting.whole,
        inputs=_inputs(cases.inputs, names or {}, keep),
        importances=_ranked(parts, permuting.rises(), shares),
    )


@dataclass
class _Model:
    predict: Predict
    output: str

    def values(self, inputs: Arrays) -> int:
        """Of the output in a row; InvalidArgument for more than can be held for all rows."""
        count = self.answers(_rows(inputs, slice(0, 1))).shape[1]
        if count > MOST_VALUES:
            what = f"{self.output!r} has {count} values a row, more than the {MOST_VALUES} that are explained"
            raise InvalidArgument([Violation("output", what)])
        return count

    def answers(self, inputs: Arrays, column: int | None = None) -> Array:
        """(rows, values) float64, or (rows, 1) of one column."""
        count = len(next(iter(inputs.values())))
        chosen = slice(None) if column is None else slice(column, column + 1)
        starts = range(0, count, AT_ONCE)
        return np.concatenate([self._some(_rows(inputs, slice(at, at + AT_ONCE)))[:, chosen] for at in starts])

    def _some(self, inputs: Arrays) -> Array:
        found = self.predict(inputs)
        self.output = self.output or next(iter(found))
        if self.output not in found:
            there = ", ".join(found)
            raise InvalidArgument([Violation("output", f"there is no output {self.output!r}; there are: {there}")])
        array = np.asarray(found[self.output])
        count = len(next(iter(inputs.values())))
        if array.dtype.kind not in "biuf" or not array.ndim or len(array) != count:
            what = f"{array.dtype} of shape {list(array.shape)}, not numbers for each of {count} rows"
            raise InvalidArgument([Violation("output", f"{self.output!r} is {what}")])
        return array.reshape(count, -1).astype(np.float64)


class _Permuting:
    """Puts each part of other rows into every row, again and again."""

    def __init__(self, model: _Model, inputs: Arrays, parts: Players, loss: Loss, random: np.random.Generator) -> None:
        self._model, self._inputs, self._parts, self._loss, self._random = model, inputs, parts, loss, random
        self.base = loss(model.answers(inputs))
        self._sums = np.zeros((parts.count, len(self.base)))
        self._counts = np.zeros(parts.count, np.int64)

    @property
    def whole(self) -> bool:
        return bool((self._counts > 0).all())

    def run(self, repeats: int, until: float, clock: Clock) -> int:
        """How many rounds were whole; parts come in another order in each, so that time is short for all alike."""
        for done in range(repeats):
            for part in self._random.permutation(self._parts.count):
                if self._counts.any() and clock() > until:
                    return done
                self._sums[part] += self._loss(self._model.answers(self._permuted(int(part)))) - self.base
                self._counts[part] += 1
        return repeats

    def rises(self) -> dict[int, Array]:
        """By part that was tried the rise of each row's loss, averaged over the rounds (rows,)."""
        return {part: self._sums[part] / count for part, count in enumerate(self._counts) if count}

    def _permuted(self, part: int) -> Arrays:
        order = self._random.permutation(len(self.base))
        made = dict(self._inputs)
        for name, labels in self._parts.labels.items():
            if (labels == part).any():
                made[name] = np.where(labels == part, self._inputs[name][order], self._inputs[name])
        return made


def _shares(
    model: _Model, inputs: Arrays, parts: Players, *, deadline: float, clock: Clock, seed: int, pace: float
) -> Array:
    """Absolute Shapley values of the highest output of as many rows as there is time for, (rows, players).

    `pace`: seconds that the model took for a row. None of inputs with more than MOST_SHARED parts.
    """
    count = len(next(iter(inputs.values())))
    others = min(BACKGROUND_ROWS, count)
    background = {name: array[-others:] for name, array in inputs.items()}
    found: list[Array] = []
    expected = pace * others * min(local.default_samples(parts.count), 2.0**parts.count)
    for index in range(min(SHARE_ROWS, max(1, count - others)) if parts.count <= MOST_SHARED else 0):
        began = clock()
        if began + expected > deadline:
            break
        row = {name: array[index] for name, array in inputs.items()}
        top = int(model.answers({name: value[None] for name, value in row.items()})[0].argmax())
        one = lambda mixtures, top=top: model.answers(mixtures, top)  # noqa: E731
        shares = local.explain(one, row, background, parts, seed=seed + index)  # errors of one design would add up
        found.append(np.abs(shares.values[:, 0]))
        expected = clock() - began
    return np.array(found).reshape(len(found), parts.count)


def _ranked(parts: Players, rises: Mapping[int, Array], shares: Array) -> tuple[Importance, ...]:
    made = []
    for part, rise in rises.items():
        mine = shares[:, part]
        made.append(
            Importance(
                name=parts.names[part],
                player=part,
                loss=float(rise.mean()),
                loss_bounds=student(rise, LEVEL),
                share=float(mine.mean()) if len(mine) else None,
                share_bounds=_above_zero(student(mine, LEVEL)) if len(mine) else None,
            )
        )
    return tuple(sorted(made, key=lambda each: (-each.loss, each.player)))


def _above_zero(bounds: Bounds) -> Bounds:
    return bounds.within(0.0, np.inf)


def _players(inputs: Arrays, names: Mapping[str, Collection[str]], keep: Collection[str], patch: int) -> Players:
    shapes = {name: array.shape[1:] for name, array in inputs.items()}
    made = players.of(shapes, patch=patch, keep=keep, names={name: tuple(words) for name, words in names.items()})
    if not made.count:
        raise InvalidArgument([Violation("keep", "no input is left that could be explained")])
    return made


def _inputs(inputs: Arrays, names: Mapping[str, Collection[str]], keep: Collection[str]) -> tuple[Input, ...]:
    return tuple(
        Input(name, tuple(array.shape[1:]), name in keep, tuple(names.get(name, ()))) for name, array in inputs.items()
    )


def _affordable(rows: int, taken: float, parts: int, seconds: float) -> int:
    """Rows with which every part can be tried once, by what all rows took."""
    if taken * parts <= seconds:
        return rows
    return min(rows, max(LEAST_ROWS, int(rows * seconds / (taken * parts))))


def _count(cases: Cases) -> int:
    counts = {name: len(array) for name, array in cases.inputs.items()}
    if len(set(counts.values())) != 1 or not min(counts.values()):
        raise InvalidArgument([Violation("cases", f"all inputs need the same number of rows, not {counts}")])
    return next(iter(counts.values()))


def _taken(cases: Cases, rows: int, random: np.random.Generator) -> Cases:
    chosen = random.permutation(_count(cases))[:rows]
    inputs, truth = ({name: np.asarray(a)[chosen] for name, a in each.items()} for each in (cases.inputs, cases.truth))
    return Cases(inputs, truth)


def _first(cases: Cases, rows: int) -> Cases:
    return Cases(_rows(cases.inputs, slice(0, rows)), _rows(cases.truth, slice(0, rows)))


def _rows(arrays: Arrays, chosen: slice) -> dict[str, Array]:
    return {name: array[chosen] for name, array in arrays.items()}
