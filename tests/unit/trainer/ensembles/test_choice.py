"""The guard: cross-fitting, shrinkage and intervals."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from services.trainer.ensembles.choice import CANDIDATES, Anchor, Candidate, Choice, Fit, _folds, choose
from services.trainer.ensembles.loss import loss_of
from services.trainer.ensembles.paired import interval, standard_error
from services.trainer.ensembles.rows import Kind, Rows, check
from services.trainer.ensembles.solve import Solution
from tests.unit.trainer.ensembles import court

SETTINGS: Mapping[str, Any] = {"folds": 5, "seed": 0, "confidence": 0.95, "negligible": 0.05}


def chosen(rows: Rows, kind: Kind = Kind.PROBABILITIES, **settings: Any) -> Choice:
    checked = check(rows, kind)
    return choose(loss_of(checked, kind), checked.units, **{**SETTINGS, **settings})


def test_noise_seems_to_help_on_the_rows_it_was_fitted_to_and_is_left_out() -> None:
    choices = [chosen(court.hopeless(300, seed)) for seed in range(12)]
    assert np.mean([choice.naive_gain > 0.002 for choice in choices]) > 0.5  # what is guarded against
    assert np.mean([choice.candidate == Candidate(Anchor.SINGLE, 0.0) for choice in choices]) >= 0.9
    assert np.mean([choice.gain.mean for choice in choices]) <= 0.001
    assert all(choice.best == 0 for choice in choices)


def test_equal_weights_are_taken_where_tuning_adds_nothing() -> None:
    choice = chosen(court.views(1000, seed=1))
    assert choice.candidate == Candidate(Anchor.EQUAL, 0.0)
    np.testing.assert_allclose(choice.weights, 1 / 3)


def test_weights_are_tuned_where_it_shows() -> None:
    choice = chosen(court.numbers(1000, seed=1, spread=(1.0, 1.2, 4.0)), Kind.NUMBERS)
    assert choice.candidate.strength > 0
    assert choice.weights[2] < 0.2
    assert choice.gain.lower > 0
    assert choice.gain.mean == pytest.approx(choice.naive_gain, rel=0.2)


def test_equal_arguments_give_an_equal_choice_and_the_seed_matters() -> None:
    rows = court.views(400, seed=1)
    one, same, other = chosen(rows), chosen(rows), chosen(rows, seed=1)
    assert one.gain == same.gain != other.gain
    np.testing.assert_array_equal(one.weights, same.weights)


def test_rows_of_one_unit_are_in_one_fold() -> None:
    units = np.random.default_rng(0).integers(0, 53, size=1000)
    folds = _folds(units, 5, seed=3)
    assert all(len(set(folds[units == unit])) == 1 for unit in range(53))
    assert sorted(np.bincount([folds[units == unit][0] for unit in range(53)])) == [10, 10, 11, 11, 11]


def test_the_way_from_the_anchor_to_the_optimum() -> None:
    fit = Fit(2, Solution(np.array([0.6, 0.4, 0.0]), 1.0, 0.0))
    np.testing.assert_allclose(fit.weights(Candidate(Anchor.SINGLE, 0.5), 0.05), [0.3, 0.2, 0.5])
    np.testing.assert_allclose(fit.weights(Candidate(Anchor.EQUAL, 1.0), 0.05), [0.6, 0.4, 0.0])
    np.testing.assert_allclose(fit.weights(Candidate(Anchor.EQUAL, 0.0), 0.05), [1 / 3] * 3)


def test_a_weight_next_to_nothing_is_nothing() -> None:
    fit = Fit(0, Solution(np.array([0.9, 0.09, 0.01]), 1.0, 0.0))
    np.testing.assert_allclose(fit.weights(Candidate(Anchor.EQUAL, 1.0), 0.05), [0.9 / 0.99, 0.09 / 0.99, 0])


def test_the_first_candidates_are_the_ones_that_learn_nothing() -> None:
    assert [candidate.strength for candidate in CANDIDATES[:2]] == [0.0, 0.0]
    assert [c.strength for c in CANDIDATES] == sorted(c.strength for c in CANDIDATES)


def test_an_interval_of_rows_by_themselves_is_that_of_student() -> None:
    values = np.array([1.0, 2.0, 4.0, 5.0])
    found = interval(values, np.arange(4), 0.95)
    assert standard_error(values, np.arange(4)) == pytest.approx(values.std(ddof=1) / 2)
    assert (found.mean, found.upper - 3.0) == (3.0, pytest.approx(3.18244630528 * values.std(ddof=1) / 2))


def test_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    """Groups of five with a common part: what it covers, and what the ordinary interval would pretend to."""
    rng = np.random.default_rng(0)
    units, covered, pretended = np.repeat(np.arange(80), 5), 0, 0
    for _ in range(400):
        values = np.repeat(rng.exponential(size=80), 5) - 1 + 0.3 * rng.normal(size=400)
        found, ordinary = (interval(values, each, 0.95) for each in (units, np.arange(400)))
        covered += found.lower <= 0 <= found.upper
        pretended += ordinary.lower <= 0 <= ordinary.upper
    assert 0.91 <= covered / 400 <= 0.98
    assert pretended / 400 < 0.75
