"""What was seen of one tensor lately: sketches of its features in a bounded number of windows."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from services.monitor.sketches.categories import CategorySketch
from services.monitor.sketches.layout import Batch, Layout
from services.monitor.sketches.numbers import K, NumberSketches

WINDOWS = 2
BUFFERED = 256  # rows that wait, so that a sketch takes many numbers in one call

Counts = Mapping[str, Mapping[str, int]]
Tap = Callable[[np.ndarray, Counts], None]


@dataclass
class Window:
    """What was seen in one stretch of time. `misfits` are rows of another shape: of those only the number is kept."""

    numbers: NumberSketches
    categories: dict[str, CategorySketch]
    rows: int = 0
    misfits: int = 0


@dataclass
class _Pending:
    """Rows whose numbers are not sketched yet, and categories that are not counted yet; the first rows are counted."""

    columns: np.ndarray
    rows: int = 0
    counted: int = 0
    categories: dict[str, Counter[object]] = field(default_factory=dict)


class TensorSketch:
    """Sketches of one tensor's features. `tap`, when given, sees all of it once: columns, and counts of categories.

    Rows wait until there are 256. `count` shows those that wait to the tap, which is cheap; `flush` sketches them, too.

    Bench of what one core does (values are numbers of the tensor, whatever becomes of them):

        sketch = TensorSketch(Layout.of(Role.INPUT, "image", rows))
        for part in np.array_split(rows, 100): sketch.add(part)
        sketch.flush()                      # sketch_values_per_s = rows.size / seconds
    """

    def __init__(self, layout: Layout, windows: int = WINDOWS, k: int = K, tap: Tap | None = None) -> None:
        self.layout = layout
        self.tap = tap
        self._k = k
        self.windows: deque[Window] = deque(maxlen=windows)
        self._pending = _Pending(np.empty((len(layout.numbers), BUFFERED), np.float32))
        self.roll()

    @property
    def rows(self) -> int:
        """Rows of the present window."""
        return self.windows[-1].rows

    @property
    def seen(self) -> bool:
        """Whether anything was added to a window that is kept."""
        return self._pending.rows > 0 or any(window.rows or window.misfits for window in self.windows)

    def add(self, array: np.ndarray) -> None:
        """Adds rows; those of another shape or kind are only counted. An array of a row's own shape is one row."""
        if array.shape == self.layout.row_shape:
            array = array[None]
        if not self.layout.fits(array):
            self.windows[-1].misfits += len(array)
            return
        for start in range(0, len(array), BUFFERED):
            self._put(self.layout.split(array[start : start + BUFFERED]))

    def count(self) -> None:
        """Counts the rows that wait and were not counted yet."""
        pending, window = self._pending, self.windows[-1]
        if pending.rows == pending.counted:
            return
        counts = {name: {str(key): n for key, n in found.items()} for name, found in pending.categories.items()}
        for name, found in counts.items():
            window.categories[name].update(found)
        if self.tap is not None:
            self.tap(pending.columns[:, pending.counted : pending.rows], counts)
        window.rows += pending.rows - pending.counted
        pending.counted, pending.categories = pending.rows, {}

    def flush(self) -> None:
        """Counts and sketches the rows that wait."""
        self.count()
        pending = self._pending
        if pending.rows:
            self.windows[-1].numbers.update(pending.columns[:, : pending.rows])
            self._pending = _Pending(pending.columns)

    def roll(self) -> None:
        """Begins a new window; the oldest is forgotten when there are too many."""
        if self.windows:
            self.flush()
        categories = {name: CategorySketch() for name in self.layout.categories}
        self.windows.append(Window(NumberSketches(len(self.layout.numbers), self._k), categories))

    def number(self, feature: int) -> NumberSketches:
        """One feature's sketch over all windows."""
        made = NumberSketches(1, self._k)
        for window in self.windows:
            made.sketches[0].merge(window.numbers.sketches[feature])
        return made

    def category(self, name: str) -> dict[str, int]:
        """One feature's counts over all windows, most frequent first."""
        made = CategorySketch()
        for window in self.windows:
            made.merge(window.categories[name])
        return made.counts()

    def _put(self, batch: Batch) -> None:
        pending = self._pending
        if pending.rows + batch.rows > BUFFERED:
            self.flush()
            pending = self._pending
        pending.columns[:, pending.rows : pending.rows + batch.rows] = batch.numbers
        for name, values in batch.categories.items():
            pending.categories.setdefault(name, Counter()).update(values.tolist())
        pending.rows += batch.rows
