"""The bounds hold at every look at once; simulated with fixed seeds."""

from __future__ import annotations

import math

import numpy as np
import pytest

from services.monitor.drift.bounds import Budget, dkw, log_subsets, radius, share_evidence

RUNS, ROWS, ALPHA = 2_000, 4_000, 0.05


def walks(share: float, seed: int) -> np.ndarray:
    """Running counts of an event of this probability: (runs, rows)."""
    return np.cumsum(np.random.default_rng(seed).random((RUNS, ROWS), np.float32) < share, axis=1)


@pytest.mark.parametrize("share", [0.5, 0.1])
def test_a_share_leaves_its_radius_as_seldom_as_promised(share: float) -> None:
    rows = np.arange(1, ROWS + 1)
    bound = radius(rows, math.log(ALPHA))
    crossed = (np.abs(walks(share, 7) / rows - share) > bound).any(axis=1).mean()
    assert crossed <= ALPHA
    # A bound that holds at one look only is left far more often than that.
    once = np.sqrt(math.log(2 / ALPHA) / (2 * rows))
    assert (np.abs(walks(0.5, 7) / rows - 0.5) > once).any(axis=1).mean() > 2 * ALPHA


def test_the_radius_shrinks_with_rows_and_grows_with_caution() -> None:
    rows = np.array([0, 1, 10, 100, 1_000, 10_000, 1_000_000])
    found = radius(rows, math.log(0.01))
    assert found[0] == 1.0
    assert (np.diff(found) <= 0).all()
    assert (radius(rows, math.log(1e-9)) >= found).all()
    assert found[-1] < 0.003


def test_the_reference_leaves_its_band_as_seldom_as_promised() -> None:
    rng = np.random.default_rng(8)
    rows = np.sort(rng.random((RUNS, 300)), axis=1)
    places = np.arange(1, 301) / 300
    distance = np.maximum(np.abs(places - rows), np.abs(places - 1 / 300 - rows)).max(axis=1)
    assert (
        distance > dkw(np.array(300), math.log(ALPHA))
    ).mean() <= 1.2 * ALPHA  # the bound is tight: 2,000 runs may be a little above
    assert dkw(np.array(0), math.log(ALPHA)) == 1.0


def test_the_budget_is_never_overdrawn() -> None:
    features = 796
    parts = [Budget(0.01, features, window) for window in range(1, 20_000)]
    live = sum(math.exp(part.log_live) for part in parts)
    assert features * (live + math.exp(parts[0].log_reference)) <= 0.01
    assert features * (live + math.exp(parts[0].log_reference)) > 0.0099


def test_total_variation_is_the_largest_difference_over_subsets() -> None:
    assert log_subsets(1) == 0
    assert math.exp(log_subsets(5)) == pytest.approx(16)


@pytest.mark.parametrize("share", [0.01, 0.003])
def test_shares_up_to_the_limit_are_no_evidence(share: float) -> None:
    rows = np.arange(1, 2_001)
    evidence = share_evidence(walks(share, 9)[:500, :2_000], rows, np.full(2_000, 0.01))
    assert (evidence.max(axis=1) >= math.log(1 / ALPHA)).mean() <= ALPHA


def test_shares_above_the_limit_are_found() -> None:
    for share, enough in ((0.05, 1_200), (0.5, 30), (1.0, 8)):
        rows = np.arange(1, enough + 1)
        evidence = share_evidence(walks(share, 10)[:500, :enough], rows, np.full(enough, 0.01))
        assert (evidence.max(axis=1) >= math.log(1e4)).mean() > 0.95, share
