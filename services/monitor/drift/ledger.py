"""Which of a fixed list of things have been found, and stay so until a later window is clean. Pure."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np


class Ledger:
    """Arrays over the list. `window` is 0 for what is not found; `rows` and `effect` are those when it was found."""

    def __init__(self, size: int) -> None:
        self.window = np.zeros(size, np.int64)
        self.rows = np.zeros(size, np.int64)
        self.effect = np.zeros(size)

    @property
    def found(self) -> np.ndarray:
        """Which are found."""
        return self.window > 0

    def observe(self, crossed: np.ndarray, rows: np.ndarray, effect: np.ndarray, window: int) -> None:
        """Enters what has crossed its limit and was not found yet."""
        new = crossed & ~self.found
        self.window[new], self.rows[new], self.effect[new] = window, rows[new], effect[new]

    def close(self, crossed: np.ndarray, seen: np.ndarray, window: int) -> None:
        """A window ends: what was found in an earlier one, and is seen to be clean in this one, is found no more."""
        self.window[seen & ~crossed & (self.window < window)] = 0

    def dump(self) -> dict[str, np.ndarray]:
        """For a snapshot."""
        return {"window": self.window, "rows": self.rows, "effect": self.effect}

    @classmethod
    def load(cls, arrays: Mapping[str, np.ndarray]) -> Ledger:
        """What was dumped."""
        made = cls(0)
        made.window, made.rows = arrays["window"].copy(), arrays["rows"].copy()
        made.effect = arrays["effect"].copy()
        return made
