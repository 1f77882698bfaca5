"""One tensor of one version in live traffic: its sketches, and its counts against the reference when there is one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from services.monitor.drift.bounds import Budget, share_evidence
from services.monitor.drift.ledger import Ledger
from services.monitor.drift.settings import DriftSettings
from services.monitor.drift.tally import QUALITIES, Distances, Oddities, Tally, TensorReference, distances, oddities
from services.monitor.sketches import Layout, TensorSketch

ENOUGH = 1_000  # rows of a window from which on it is shown alone


@dataclass(frozen=True)
class Found:
    """One feature that moved, or has too many odd values of one kind."""

    feature: str
    kind: str  # drift, or one of QUALITIES
    effect: float


class Tested:
    """The counts of the present and the last window, and what they found."""

    def __init__(self, reference: TensorReference) -> None:
        self.reference = reference
        self.tally, self.last = Tally(reference), Tally(reference)
        self.drift = Ledger(len(reference.features))
        self.quality = Ledger(len(QUALITIES) * len(reference.features))
        self.misfits = Ledger(1)

    def shown(self) -> Tally:
        """The window that reports are about: the present one, unless it has few rows and the last one more."""
        rows, before = _rows(self.tally), _rows(self.last)
        return self.tally if rows >= min(ENOUGH, before) else self.last


class LiveTensor:
    """What is known of a tensor. `tested` is None without a reference."""

    def __init__(self, layout: Layout, reference: TensorReference | None) -> None:
        self.sketch = TensorSketch(layout, tap=self._tap)
        self.tested = Tested(reference) if reference else None

    @property
    def layout(self) -> Layout:
        """How its rows are taken apart."""
        return self.sketch.layout

    def look(self, budget: Budget, settings: DriftSettings) -> None:
        """Enters what has been found by now."""
        if self.tested is not None:
            self._judge(self.tested, budget, settings, close=False)

    def roll(self, budget: Budget, settings: DriftSettings) -> None:
        """Ends the window."""
        self.sketch.flush()
        tested = self.tested
        if tested is not None:
            self._judge(tested, budget, settings, close=True)
            tested.last, tested.tally = tested.tally, Tally(tested.reference)
        self.sketch.roll()

    def found(self) -> Iterator[Found]:
        """What is found and not clean yet."""
        if self.tested is None:
            return
        names, tested = self.layout.features, self.tested
        for index in np.flatnonzero(tested.drift.found).tolist():
            yield Found(names[index], "drift", float(tested.drift.effect[index]))
        for index in np.flatnonzero(tested.quality.found).tolist():
            kind, feature = divmod(index, len(names))
            yield Found(names[feature], QUALITIES[kind], float(tested.quality.effect[index]))
        if tested.misfits.found[0]:
            yield Found(self.layout.tensor, QUALITIES[0], float(tested.misfits.effect[0]))

    def _tap(self, columns: np.ndarray, categories: Mapping[str, Mapping[str, int]]) -> None:
        if self.tested is not None:
            self.tested.tally.add(columns, categories)

    def _judge(self, tested: Tested, budget: Budget, settings: DriftSettings, *, close: bool) -> None:
        moved = distances(tested.tally, budget, settings.minimum_effect)
        odd = oddities(tested.tally, budget, settings.quality_share)
        _enter(tested, moved, odd, budget.window)
        self._misfits(tested, budget, settings, close=close)
        if close:
            tested.drift.close(moved.crossed, moved.rows > 0, budget.window)
            seen = np.broadcast_to(odd.rows > 0, odd.hits.shape)
            tested.quality.close(odd.crossed.ravel(), seen.ravel(), budget.window)

    def _misfits(self, tested: Tested, budget: Budget, settings: DriftSettings, *, close: bool) -> None:
        """Rows that are not of the reference's shape, or not there."""
        window = self.sketch.windows[-1]
        hits, rows = np.array([window.misfits]), np.array([window.rows + window.misfits])
        crossed = share_evidence(hits, rows, np.array([settings.quality_share])) >= -budget.log_live
        tested.misfits.observe(crossed, rows, hits / np.maximum(rows, 1), budget.window)
        if close:
            tested.misfits.close(crossed, rows > 0, budget.window)


def _enter(tested: Tested, moved: Distances, odd: Oddities, window: int) -> None:
    tested.drift.observe(moved.crossed, moved.rows, moved.ks, window)
    rows = np.broadcast_to(odd.rows, odd.hits.shape)
    share = odd.hits / np.maximum(rows, 1)
    tested.quality.observe(odd.crossed.ravel(), rows.ravel(), share.ravel(), window)


def _rows(tally: Tally) -> int:
    seen = [*tally.bins.sum(axis=1), *(counts.sum() for counts in tally.groups)]
    return int(max(seen, default=0))
