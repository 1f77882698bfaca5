"""Numbers between the points of a reference."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import ks_2samp

from services.monitor.drift.grid import POINTS, Grid


def normal(shift: float, rows: int, seed: int) -> np.ndarray:
    return (np.random.default_rng(seed).normal(size=(1, rows)) + shift).astype(np.float32)


@pytest.mark.parametrize("shift", [0.0, 0.3, 3.0])
def test_the_distance_is_that_of_kolmogorov_and_smirnov_less_a_step(shift: float) -> None:
    reference, live = normal(0, 5_000, 1), normal(shift, 3_000, 2)
    found = Grid.of(reference)
    exact = ks_2samp(reference[0], live[0]).statistic
    assert exact - 1 / 40 <= found.distances(found.count(live))[0] <= exact + 1e-9


def test_the_reference_is_at_no_distance_from_itself() -> None:
    reference = np.vstack([normal(0, 999, 3), np.zeros((1, 999), np.float32)])
    grid = Grid.of(reference)
    assert grid.distances(grid.count(reference)).tolist() == pytest.approx([0, 0])
    assert grid.outside(grid.count(reference)).tolist() == [0, 0]


def test_a_feature_that_never_changed_moves_with_the_first_other_value() -> None:
    grid = Grid.of(np.zeros((1, 500), np.float32))
    for value in (1e-6, -1e-6):
        live = np.array([[0, 0, 0, value]], np.float32)
        assert grid.distances(grid.count(live))[0] == 0.25
        assert grid.outside(grid.count(live))[0] == 1


def test_infinite_numbers_are_outside_and_nan_is_nowhere() -> None:
    grid = Grid.of(normal(0, 500, 4))
    live = np.array([[np.nan, np.inf, -np.inf, 0.0, np.nan]], np.float32)
    counts = grid.count(live)
    assert counts.shape == (1, POINTS + 1)
    assert counts.sum() == 3
    assert grid.outside(counts)[0] == 2


def test_odd_numbers_in_the_reference_are_counted_and_compared() -> None:
    reference = normal(0, 1_000, 5)
    reference[0, :100], reference[0, 100:200] = np.nan, np.inf
    grid = Grid.of(reference)
    assert (grid.rows[0], grid.missing[0], grid.infinite[0]) == (900, 100, 100)
    assert grid.distances(grid.count(reference))[0] == pytest.approx(0)


def test_a_reference_without_numbers_says_nothing() -> None:
    grid = Grid.of(np.full((1, 10), np.nan, np.float32))
    counts = grid.count(np.array([[1.0, 2.0]], np.float32))
    assert grid.rows[0] == 0
    assert grid.outside(counts)[0] == 0


def test_counts_add_up() -> None:
    grid = Grid.of(normal(0, 5_000, 6))
    live = normal(0.2, 1_000, 7)
    parts = np.sum([grid.count(part) for part in np.array_split(live, 7, axis=1)], axis=0)
    assert parts.tolist() == grid.count(live).tolist()


def test_deciles_have_a_tenth_of_the_reference_each() -> None:
    reference = normal(0, 10_000, 8)
    grid = Grid.of(reference)
    before, now = grid.deciles(0, grid.count(normal(0, 2_000, 9)))
    np.testing.assert_allclose(before, [0, *[1_000] * 10, 0], atol=1e-6)
    assert now.sum() == 2_000


def test_quantiles_are_exact() -> None:
    grid = Grid.of(np.arange(101, dtype=np.float32)[None])
    assert grid.quantiles[0].tolist() == [0, 10, 20, 30, 40, 50, 60, 70, 80, 90, 100]


def test_a_dump_is_the_same_grid() -> None:
    grid = Grid.of(normal(0, 300, 10))
    again = Grid.load(grid.dump())
    live = normal(1, 300, 11)
    assert again.distances(again.count(live)).tolist() == grid.distances(grid.count(live)).tolist()


@pytest.mark.parametrize("odd", [False, True])
def test_counting_many_rows_at_once_and_few_at_a_time_is_the_same(odd: bool) -> None:
    """Two ways to find the place of a number, chosen by how many there are."""
    grid = Grid.of(np.round(normal(0, 400, 12), 1))
    live = np.round(normal(0.1, 200, 13), 1)
    if odd:
        live[0, ::7], live[0, 1::9], live[0, 2::11] = np.nan, np.inf, -np.inf
    few = np.sum([grid.count(live[:, at : at + 5]) for at in range(0, 200, 5)], axis=0)
    assert few.tolist() == grid.count(live).tolist()
