"""What is not an answer is refused with the row that shows it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from services.kit.errors import InvalidArgument
from services.trainer.evaluation.answers import Classification, Language, Ranking, Regression


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Classification([0, 1], [[2.0, -1.0], [0.5, 0.5]]), "row 0 is no distribution"),
        (lambda: Classification([0, 1], [[0.5, 0.5], [3.0, 4.0]]), "row 1 is no distribution: it sums to 7"),
        (lambda: Classification([0, 2], [[0.5, 0.5], [0.5, 0.5]]), "row 1 has class 2, but there are 2"),
        (lambda: Classification([0, 1], [[0.5, 0.5]]), "probabilities: has 1 rows, not 2"),
        (lambda: Classification([0.5], predicted=[0]), "labels: have to be class indices"),
        (lambda: Classification([-1], predicted=[0]), "labels: have to be class indices"),
        (lambda: Classification(["a"], predicted=[0]), "labels: has to be 1-dimensional numbers"),
        (lambda: Classification([0, 1]), "probabilities: are missing"),
        (lambda: Classification([0], [[1.0]]), "a column for each class"),
        (lambda: Classification([0], [[0.5, 0.5]], classes=("a", "b", "c")), "3 names for 2 columns"),
        (lambda: Classification([], np.empty((0, 2))), "there is no row"),
        (lambda: Regression([1.0, np.nan], [1.0, 2.0]), "targets: row 1 is not finite"),
        (lambda: Regression([1.0, 2.0], [1.0]), "predicted: has 1 rows, not 2"),
        (lambda: Regression([[1.0]], [[1.0]]), "targets: has to be 1-dimensional"),
        (lambda: Ranking([[1.0, 0]], [[1.0, 0, 3]]), r"scores: have shape \(1, 3\)"),
        (lambda: Ranking([[1.0], [0.0]], [[1.0], [2.0]]), "row 1 has no relevant item"),
        (lambda: Language([1.0], [0]), "every document needs tokens"),
    ],
)
def test_refused(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        make()


def test_probabilities_of_half_precision_are_made_to_sum_to_one() -> None:
    answers = Classification([0, 1], np.array([[0.3335, 0.6663], [0.1, 0.9]], np.float16))
    assert answers.probabilities is not None
    assert answers.probabilities.sum(axis=1) == pytest.approx([1.0, 1.0], abs=1e-15)
    assert answers.predicted.tolist() == [1, 1]


def test_equal_scores_stay_equal() -> None:
    """Seven tenths and three of a tenth each sum to a little less than one."""
    given = np.array([[0.7, 0.1, 0.1, 0.1], [0.4, 0.25, 0.25, 0.1]])
    assert given[0].sum() != given[1].sum()
    answers = Classification([0, 1], given)
    assert answers.probabilities is not None
    assert (answers.probabilities == given).all()
    assert (answers.take(np.array([1])).probabilities == given[1:]).all()


def test_a_given_class_may_differ_from_the_likeliest() -> None:
    assert Classification([0], [[0.4, 0.6]], predicted=[0]).right.tolist() == [True]


def test_taking_rows_takes_them_of_everything() -> None:
    answers = Classification([0, 1, 1], [[0.9, 0.1], [0.6, 0.4], [0.2, 0.8]], classes=("no", "yes"))
    taken = answers.take(np.array([2, 0]))
    assert (taken.labels.tolist(), taken.predicted.tolist(), taken.classes) == ([1, 0], [1, 0], ("no", "yes"))
