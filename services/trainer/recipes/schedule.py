"""Learning rates as a function of the step, so that nothing of them has to be kept in a checkpoint."""

from __future__ import annotations

import math
from typing import Any


def warm_cosine(step: int, total: int, warm: float = 0.1, floor: float = 0.01) -> float:
    """The share of the highest rate at a step: up in a line over the first `warm` of all, then half a cosine down to
    `floor` (Loshchilov and Hutter, 2017, without restarts)."""
    rise = max(1, round(total * warm))
    if step < rise:
        return (step + 1) / rise
    share = min(1.0, (step - rise) / max(1, total - rise))
    return floor + (1 - floor) * (1 + math.cos(math.pi * share)) / 2


def set_rate(optimizer: Any, rate: float) -> None:
    """Of a torch optimiser, all groups."""
    for group in optimizer.param_groups:
        group["lr"] = rate
