"""The losses are convex with the gradient they say, and the solver finds their minimum on the simplex."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from services.trainer.ensembles.loss import FLOOR, LogLoss, Loss, SquaredLoss, loss_of
from services.trainer.ensembles.rows import Kind, Rows, check
from services.trainer.ensembles.solve import equal, minimise, single
from tests.unit.trainer.ensembles import court

STEPS = 40


def losses() -> dict[str, Loss]:
    chances, wide = court.views(300, seed=1), court.numbers(300, seed=2)
    binary = court.views(300, seed=3, classes=2)
    positive = Rows({name: p[:, 1] for name, p in binary.predictions.items()}, binary.labels)
    return {
        "classes": loss_of(check(chances, Kind.PROBABILITIES), Kind.PROBABILITIES),
        "positive": loss_of(check(positive, Kind.PROBABILITIES), Kind.PROBABILITIES),
        "numbers": loss_of(check(wide, Kind.NUMBERS), Kind.NUMBERS),
    }


@pytest.fixture(params=["classes", "positive", "numbers"])
def loss(request: pytest.FixtureRequest) -> Loss:
    return losses()[request.param]


def grid() -> list[np.ndarray]:
    return [np.array([a, b, STEPS - a - b]) / STEPS for a, b in product(range(STEPS + 1), repeat=2) if a + b <= STEPS]


def test_nothing_on_a_grid_is_lower(loss: Loss) -> None:
    found = minimise(loss)
    lowest = min(loss.mean(weights)[0] for weights in grid())
    assert found.loss <= lowest
    assert found.loss == pytest.approx(lowest, rel=3e-3)  # the grid is fine enough to say so
    assert lowest >= found.loss - found.gap
    assert found.gap <= 1e-5 * found.loss
    assert found.weights.sum() == pytest.approx(1.0)
    assert found.weights.min() >= 0


def test_it_is_convex_and_the_gap_bounds_every_point(loss: Loss) -> None:
    rng = np.random.default_rng(0)
    lowest = minimise(loss).loss
    for a, b in rng.dirichlet(np.ones(3), size=(50, 2)):
        assert loss.mean((a + b) / 2)[0] <= (loss.mean(a)[0] + loss.mean(b)[0]) / 2 + 1e-12
        value, gradient = loss.mean(a)
        assert value - lowest <= gradient @ a - gradient.min() + 1e-12


def test_the_gradient_is_that_of_the_mean_of_rows(loss: Loss) -> None:
    weights, step = np.array([0.5, 0.3, 0.2]), 1e-6
    value, gradient = loss.mean(weights)
    assert value == pytest.approx(loss.rows(weights).mean())
    for member in range(3):
        moved = weights + step * single(3, member)
        assert gradient[member] == pytest.approx((loss.rows(moved).mean() - value) / step, rel=1e-4)


def test_both_forms_of_two_classes_lose_the_same() -> None:
    binary = court.views(100, seed=3, classes=2)
    both = loss_of(check(binary, Kind.PROBABILITIES), Kind.PROBABILITIES)
    assert losses()["positive"].take(np.arange(100)).members == both.members
    positive = Rows({name: p[:, 1:] for name, p in binary.predictions.items()}, binary.labels)
    one = loss_of(check(positive, Kind.PROBABILITIES), Kind.PROBABILITIES)
    np.testing.assert_allclose(one.rows(equal(3)), both.rows(equal(3)))


@pytest.mark.parametrize("scale", [1e-9, 1e9])
def test_the_unit_of_the_labels_does_not_matter(scale: float) -> None:
    plain, scaled = court.numbers(300, seed=2), court.numbers(300, seed=2, scale=scale)
    found = [minimise(loss_of(check(rows, Kind.NUMBERS), Kind.NUMBERS)).weights for rows in (plain, scaled)]
    np.testing.assert_allclose(found[0], found[1], atol=1e-5)


def test_labels_far_from_zero_keep_their_digits() -> None:
    rows = court.numbers(300, seed=2)
    far = Rows({name: values + 1e6 for name, values in rows.predictions.items()}, rows.labels + 1e6)
    near, there = (loss_of(check(each, Kind.NUMBERS), Kind.NUMBERS) for each in (rows, far))
    assert minimise(there).loss == pytest.approx(minimise(near).loss, rel=1e-6)


def test_weights_of_independent_errors_are_those_of_the_textbook() -> None:
    """Independent errors: the best weights are proportional to 1 / variance."""
    loss = loss_of(check(court.numbers(200_000, seed=5, spread=(1.0, 2.0)), Kind.NUMBERS), Kind.NUMBERS)
    np.testing.assert_allclose(minimise(loss).weights, [0.8, 0.2], atol=0.01)


def test_a_member_that_is_always_right_gets_everything() -> None:
    rng = np.random.default_rng(0)
    errors = np.stack([np.zeros((200, 1)), rng.normal(size=(200, 1)), rng.normal(size=(200, 1))], axis=1)
    perfect = minimise(SquaredLoss.of(errors))
    assert (perfect.loss, list(perfect.weights)) == (0.0, [1.0, 0.0, 0.0])
    given = np.column_stack([np.ones(200), rng.uniform(0.2, 0.9, size=(200, 2))])
    np.testing.assert_allclose(minimise(LogLoss(given)).weights, [1, 0, 0], atol=1e-6)


def test_identical_members_are_all_optimal() -> None:
    given = np.repeat(np.random.default_rng(0).uniform(0.1, 0.9, size=(200, 1)), 5, axis=1)
    found = minimise(LogLoss(given))
    assert found.gap == pytest.approx(0.0, abs=1e-12)
    assert found.loss == pytest.approx(LogLoss(given).mean(single(5, 0))[0])


def test_members_that_are_all_perfect_are_no_trouble() -> None:
    assert minimise(SquaredLoss.of(np.zeros((50, 3, 1)))).loss == 0.0


def test_a_row_has_one_to_give() -> None:
    """Half precision sums to a little more or less than 1; who rounds up gains nothing."""
    exact = np.tile([0.2, 0.8], (10, 1))
    rows = Rows({"exact": exact, "up": exact * 1.0009}, np.ones(10, int))
    loss = loss_of(check(rows, Kind.PROBABILITIES), Kind.PROBABILITIES)
    np.testing.assert_allclose(loss.rows(single(2, 1)), loss.rows(single(2, 0)))


def test_a_wrong_certainty_costs_much_but_not_everything() -> None:
    predictions = {"sure": np.tile([1.0, 0.0], (10, 1)), "unsure": np.full((10, 2), 0.5)}
    loss = loss_of(check(Rows(predictions, np.ones(10, int)), Kind.PROBABILITIES), Kind.PROBABILITIES)
    np.testing.assert_allclose(loss.rows(single(2, 0)), -np.log(FLOOR))
    np.testing.assert_allclose(minimise(loss).weights, [0, 1], atol=1e-6)
