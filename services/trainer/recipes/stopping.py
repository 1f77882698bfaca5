"""Early stopping, and the best weights so far."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any


class Best:
    """Remembers what was best on the validation rows. All workers are told the same figures."""

    def __init__(self, patience: int) -> None:
        """`patience`: how often in a row it may not get better; 0: as often as it wants."""
        self._patience = patience
        self.loss, self.waited = math.inf, 0
        self.weights: Mapping[str, Any] = {}

    def better(self, loss: float) -> bool:
        """Whether this is the best so far; if so, set `weights`. Not a number is never better."""
        if loss < self.loss:
            self.loss, self.waited = loss, 0
            return True
        self.waited += 1
        return False

    @property
    def over(self) -> bool:
        return 0 < self._patience <= self.waited

    def state(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {"loss": self.loss, "waited": self.waited, "weights": dict(self.weights)}

    def load(self, saved: Mapping[str, Any]) -> None:
        """What `state` gave."""
        self.loss, self.waited, self.weights = saved["loss"], saved["waited"], saved["weights"]
