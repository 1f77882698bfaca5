"""The bounds hold however often one looks, and are not much wider than those of one look."""

from __future__ import annotations

import numpy as np
import pytest

from services.monitor.replay.interval import interval


@pytest.mark.parametrize("share", [0.01, 0.2, 0.9])
def test_the_true_share_is_inside_at_every_moment(share: float) -> None:
    random = np.random.default_rng(7)
    missed = 0
    for _ in range(400):
        hits = np.cumsum(random.random(300) < share)
        looks = range(1, 301, 7)
        missed += any(not low <= share <= high for n in looks for low, high in [interval(int(hits[n - 1]), n, 0.05)])
    assert missed <= 400 * 0.05


@pytest.mark.parametrize(
    ("hits", "trials", "low", "high"),
    [(0, 0, 0.0, 1.0), (0, 200, 0.0, 0.05), (200, 200, 0.95, 1.0), (30, 30, 0.75, 1.0), (100, 200, 0.35, 0.65)],
)
def test_they_say_something(hits: int, trials: int, low: float, high: float) -> None:
    found = interval(hits, trials, 0.01)
    assert low <= found[0] <= found[1] <= high
