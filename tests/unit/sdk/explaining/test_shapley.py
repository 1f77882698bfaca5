"""Kernel SHAP against Shapley's own formula, and the axioms that it has to keep."""

from __future__ import annotations

import math

import numpy as np
import pytest
from bmase.explaining.portable.shapley import coalitions, shapley
from hypothesis import given, settings
from hypothesis import strategies as st


def by_definition(worth: np.ndarray) -> np.ndarray:
    """Shares of all players by the sum over all coalitions; `worth` (2**players,) by the bits of the members."""
    players = len(worth).bit_length() - 1
    shares = np.zeros(players)
    for player in range(players):
        for members in range(len(worth)):
            if not members >> player & 1:
                size = members.bit_count()
                weight = math.factorial(size) * math.factorial(players - size - 1) / math.factorial(players)
                shares[player] += weight * (worth[members | 1 << player] - worth[members])
    return shares


def game(worth: np.ndarray):
    players = len(worth).bit_length() - 1
    return lambda kept: worth[(kept * (1 << np.arange(players))).sum(axis=1)][:, None]


@pytest.mark.parametrize("players", [1, 2, 3, 5, 8])
def test_asked_everything_it_is_shapleys_formula(players: int) -> None:
    worth = np.random.default_rng(players).normal(size=2**players)
    found = shapley(game(worth), players, samples=2**players)
    assert found.exact
    np.testing.assert_allclose(found.values[:, 0], by_definition(worth), atol=1e-12)


@settings(max_examples=50, deadline=None)
@given(players=st.integers(1, 60), samples=st.integers(1, 200), seed=st.integers(0, 99))
def test_shares_sum_up_however_few_coalitions_are_asked(players: int, samples: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    first, second = random.normal(size=(2, players, 3))
    found = shapley(lambda kept: np.tanh(kept @ first) + (kept @ second) ** 2, players, samples, seed)
    gap = found.empty + found.values.sum(axis=0) - found.whole
    assert np.abs(gap).max() <= 1e-9 * max(1.0, np.abs(found.whole).max())


@pytest.mark.parametrize("samples", [60, 200])
def test_a_sum_is_found_as_soon_as_there_are_more_coalitions_than_players(samples: int) -> None:
    weights = np.random.default_rng(0).normal(size=(20, 2))
    found = shapley(lambda kept: kept @ weights + 5, 20, samples)
    assert not found.exact
    np.testing.assert_allclose(found.values, weights, atol=1e-9)
    np.testing.assert_allclose(found.empty, [5, 5])


def test_who_adds_nothing_gets_nothing_and_equals_get_the_same() -> None:
    found = shapley(lambda kept: (kept[:, :1] & kept[:, 1:2]) * 4.0 + kept[:, 3:4], 4, samples=100).values[:, 0]
    np.testing.assert_allclose(found, [2, 2, 0, 1], atol=1e-12)


def test_more_coalitions_come_closer() -> None:
    worth = np.random.default_rng(3).normal(size=2**11).cumsum() / 30
    right = by_definition(worth)
    errors = [
        np.mean([np.abs(shapley(game(worth), 11, n, seed).values[:, 0] - right).mean() for seed in range(5)])
        for n in (50, 1000)
    ]
    assert errors[1] < errors[0] / 3


@pytest.mark.parametrize(("players", "samples"), [(10, 100), (30, 100), (49, 600), (12, 4094), (200, 50)])
def test_coalitions_differ_are_never_an_end_and_come_with_their_opposites(players: int, samples: int) -> None:
    made = coalitions(players, samples, np.random.default_rng(1))
    found = {tuple(row) for row in made.coalitions.tolist()}
    assert len(found) == len(made.coalitions) <= max(samples, 2)
    assert all(0 < sum(row) < players for row in found)
    assert all(tuple(not member for member in row) in found for row in found)
    assert (made.weights > 0).all()
    assert made.exact == (2**players - 2 <= samples)


def test_the_same_seed_asks_the_same() -> None:
    one, same, other = (coalitions(30, 100, np.random.default_rng(seed)).coalitions for seed in (1, 1, 2))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)
