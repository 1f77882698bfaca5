"""Whether two answers to one request agree. Pure."""

from __future__ import annotations

import numpy as np

from services.monitor.oip import Tensor, Tensors, label_of

# Below this part of a tensor's largest value a number is as good as zero.
NEGLIGIBLE = 1e-6


def disagree(stable: Tensors, candidate: Tensors, tolerance: float, label_output: str = "") -> bool:
    """Labels decide where both answers have one: versions of a classifier are not meant to give the same numbers.

    Otherwise every tensor of the stable version's answer has to be there, with numbers that differ by at most
    `tolerance` of the larger one.
    """
    left = label_of(stable, label_output)
    right = label_of(candidate, left.output) if left else None
    if left and right:
        return left.text != right.text
    return any(name not in candidate or _differ(tensor, candidate[name], tolerance) for name, tensor in stable.items())


def _differ(left: Tensor, right: Tensor, tolerance: float) -> bool:
    a, b = left.array, right.array
    if a.shape != b.shape or (a.dtype == object) != (b.dtype == object):
        return True
    if a.dtype.kind in "Ob":
        return not np.array_equal(a, b)
    x, y = a.astype(np.float64), b.astype(np.float64)
    same = (x == y) | (np.isnan(x) & np.isnan(y))
    larger = np.maximum(np.abs(x), np.abs(y))
    floor = NEGLIGIBLE * np.max(larger[np.isfinite(larger)], initial=0.0)
    with np.errstate(invalid="ignore"):
        close = np.abs(x - y) <= tolerance * np.maximum(larger, floor)
    return not bool(np.all(same | (close & np.isfinite(larger))))
