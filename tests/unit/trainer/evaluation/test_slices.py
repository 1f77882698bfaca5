"""How rows are cut, and which slices are said to be worse."""

from __future__ import annotations

import numpy as np
import pytest

from services.kit.errors import InvalidArgument
from services.trainer.evaluation.answers import Classification
from services.trainer.evaluation.estimate import Setting
from services.trainer.evaluation.metrics.catalogue import by_name
from services.trainer.evaluation.slices import cut, slices

SETTING = Setting(resamples=200)
ACCURACY = [by_name("accuracy")]


def parts(column: object, **edges: list[float]) -> dict[str, list[int]]:
    values = np.asarray(column)
    return {part.value: part.rows.tolist() for part in cut({"x": values}, len(values), SETTING, edges)}


def test_values_are_named_as_they_are_written() -> None:
    assert parts(["b", "a", "b"]) == {"a": [1], "b": [0, 2]}
    assert parts([3, 1, 3]) == {"1": [1], "3": [0, 2]}
    assert parts([True, False]) == {"False": [1], "True": [0]}
    assert parts(np.array([1.0, np.nan, 2.5, 1.0])) == {"1": [0, 3], "2.5": [2], "missing": [1]}
    assert parts(np.array(["a", None], object)) == {"a": [0], "missing": [1]}
    assert parts(np.array([b"a", b"b"])) == {"a": [0], "b": [1]}


def test_numbers_that_round_to_the_same_stay_apart() -> None:
    assert parts([1234567.0, 1234568.0, 1234567.0]) == {"1234567": [0, 2], "1234568": [1]}
    assert parts(np.array([0.1, 0.2, 0.1], np.float32)) == {"0.1": [0, 2], "0.2": [1]}
    assert parts([0.0, -0.0]) == {"0": [0, 1]}


def test_bins_of_times_in_seconds_have_names_of_their_own() -> None:
    found = parts(np.arange(1_700_000_000, 1_700_000_100))
    assert [len(rows) for rows in found.values()] == [20] * 5


@pytest.mark.parametrize(("column", "edges"), [([1, 2], []), ([1, 2], [np.nan]), (["a", "b"], [1.0])])
def test_edges_that_cut_nothing_are_refused(column: list[object], edges: list[float]) -> None:
    with pytest.raises(InvalidArgument) as caught:
        parts(column, x=edges)
    assert caught.value.violations[0].field == "edges[x]"


def test_many_numbers_are_cut_into_equal_parts() -> None:
    found = parts(np.r_[np.arange(100.0), np.nan])
    assert [len(rows) for rows in found.values()] == [20, 20, 20, 20, 20, 1]
    assert sorted(row for rows in found.values() for row in rows) == list(range(101))


def test_edges_belong_below() -> None:
    assert parts([1, 2, 3, 4], x=[2, 3]) == {"2 and below": [0, 1], "2 to 3": [2], "above 3": [3]}


def test_columns_that_do_not_fit_are_refused() -> None:
    with pytest.raises(InvalidArgument, match=r"columns\[x\]: has shape \(2, 2\)"):
        list(cut({"x": np.zeros((2, 2))}, 2, SETTING, {}))
    with pytest.raises(InvalidArgument, match=r"edges\[y\]: there is no such column"):
        list(cut({"x": np.zeros(2)}, 2, SETTING, {"y": [1.0]}))


def planted(bad: float, rows: int = 1000) -> tuple[Classification, np.ndarray]:
    """Right in 95 of 100 rows, but in the slice "c" only as often as asked for."""
    random = np.random.default_rng(11)
    column = random.choice(["a", "b", "c", "d"], rows)
    right = random.random(rows) < np.where(column == "c", bad, 0.95)
    labels = random.integers(0, 2, rows)
    return Classification(labels, predicted=np.where(right, labels, 1 - labels)), column


def test_the_planted_slice_is_the_only_one_said_to_be_worse() -> None:
    answers, column = planted(0.7)
    found = slices(answers, {"x": column}, ACCURACY, SETTING)
    assert [each.name for each in found.worse] == ["x=c"]
    assert found.looks == 4


def test_the_plain_interval_is_the_slices_own_and_the_wide_one_wider() -> None:
    answers, column = planted(0.95)
    found = slices(answers, {"x": column}, ACCURACY, SETTING)
    for each in found.found:
        own = ACCURACY[0].estimate(answers.take(column == each.value), SETTING)
        look = each.look("accuracy")
        assert look is not None
        assert look.estimate == own
        assert look.wide.low < own.low < own.high < look.wide.high


def test_many_looks_at_noise_find_nothing_more_often_than_they_may() -> None:
    """Twenty slices of nothing: uncorrected, two of three runs would find one."""
    random, alarms = np.random.default_rng(12), 0
    for _ in range(20):
        labels = random.integers(0, 2, 2000)
        answers = Classification(labels, predicted=np.where(random.random(2000) < 0.9, labels, 1 - labels))
        alarms += bool(slices(answers, {"x": random.integers(0, 20, 2000)}, ACCURACY, SETTING).worse)
    assert alarms <= 3


def test_small_slices_are_counted_and_not_looked_at() -> None:
    answers = Classification([0] * 60, predicted=[0] * 60)
    column = np.array(["big"] * 50 + ["tiny"] * 6 + ["rare"] * 4)
    found = slices(answers, {"x": column}, ACCURACY, SETTING)
    assert [each.name for each in found.found] == ["x=big"]
    assert [(one.values, one.rows) for one in found.skipped] == [(2, 10)]


def test_what_a_slice_lacks_is_said() -> None:
    answers = Classification(np.arange(80) % 2, predicted=[0] * 80, classes=("no", "yes"))
    found = slices(answers, {"x": np.arange(80) % 2}, [by_name("macro_f1")], SETTING)
    assert [each.left_out for each in found.found] == [
        {"macro_f1": "all rows have the class no"},
        {"macro_f1": "all rows have the class yes"},
    ]
