"""One version in live traffic: its tensors, which share windows and the budget of false alarms."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np

from services.monitor.drift.bounds import Budget
from services.monitor.drift.settings import DriftSettings
from services.monitor.drift.tally import TensorReference
from services.monitor.drift.tensor import LiveTensor
from services.monitor.references import Reference
from services.monitor.sketches import Layout, Role
from services.monitor.sketches.layout import MAX_FEATURES

MAX_TENSORS = 64


class LiveVersion:
    """`window` counts from 1, as the budget of false alarms does; 0 rows are no reason to end one."""

    def __init__(self, settings: DriftSettings, reference: Reference | None) -> None:
        self.settings = settings
        self.reference = reference
        self.tensors: dict[tuple[Role, str], LiveTensor] = {}
        self.window = 1
        self.window_start: float | None = None
        self.changed = True  # since it was written
        self._fresh = True  # since it was looked at
        for known in reference.tensors if reference else ():
            self._begin(known.layout, known)

    @property
    def features(self) -> int:
        """How many features take memory."""
        return sum(len(tensor.layout.features) for tensor in self.tensors.values())

    @property
    def rows(self) -> int:
        """Rows of the present window."""
        return max((tensor.sketch.rows for tensor in self.tensors.values()), default=0)

    @property
    def budget(self) -> Budget:
        """What may be spent in the present window."""
        known = self.reference.features if self.reference else 0
        return Budget(self.settings.alpha, max(known, 1), self.window)

    def add(self, tensors: Mapping[str, np.ndarray], role: Role, left_out: Collection[str]) -> None:
        """Adds the tensors of one request, or of its answer; those left out were there but are not to be looked at."""
        arrays = {name: np.atleast_1d(array) for name, array in tensors.items()}
        for name, array in arrays.items():
            live = self.tensors.get((role, name)) or self._first(role, name, array)
            if live is not None:
                live.sketch.add(array)
        self.changed = self._fresh = True
        if role is Role.INPUT and self.reference is not None:
            self._absent(arrays, left_out)

    def tick(self, now: float) -> None:
        """Looks at what came in since; ends the window when it is full and old enough."""
        if self.window_start is None:
            self.window_start = now
        if not self._fresh and self.rows < self.settings.window_rows:
            return
        self._fresh = False
        for tensor in self.tensors.values():
            tensor.sketch.count()
        budget, settings = self.budget, self.settings
        full = self.rows >= settings.window_rows and now - self.window_start >= settings.window_seconds
        for tensor in self.tensors.values():
            tensor.roll(budget, settings) if full else tensor.look(budget, settings)
        if full:
            self.window, self.window_start, self.changed = self.window + 1, now, True

    def forget(self, names: Collection[str]) -> bool:
        """Drops what was seen of the tensors of these names; whether there was anything."""
        found = [(key, live) for key, live in self.tensors.items() if key[1] in names and live.sketch.seen]
        for key, live in found:
            del self.tensors[key]
            if live.tested is not None:
                self._begin(live.layout, live.tested.reference)
        self.changed = self.changed or bool(found)
        return bool(found)

    def _first(self, role: Role, name: str, array: np.ndarray) -> LiveTensor | None:
        """A tensor that was not seen before; None when there are too many, or it holds nothing that is understood."""
        if len(self.tensors) >= MAX_TENSORS:
            return None
        try:
            layout = Layout.of(role, name, array)
        except ValueError:
            return None
        return self._begin(layout, None) if self.features + len(layout.features) <= MAX_FEATURES else None

    def _begin(self, layout: Layout, reference: TensorReference | None) -> LiveTensor:
        made = self.tensors[layout.role, layout.name] = LiveTensor(layout, reference)
        return made

    def _absent(self, arrays: Mapping[str, np.ndarray], left_out: Collection[str]) -> None:
        """Inputs that the reference has and this request has not count as rows that do not fit."""
        rows = max((len(array) for array in arrays.values()), default=0)
        for (role, name), live in self.tensors.items():
            if role is Role.INPUT and live.tested is not None and name not in {*arrays, *left_out}:
                live.sketch.windows[-1].misfits += rows
