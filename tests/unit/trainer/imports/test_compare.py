from __future__ import annotations

import numpy as np
import pytest

from services.trainer.imports.compare import Pair, Tolerance, beyond, compare, unanswered, worst

TOLERANCE = Tolerance(rtol=1e-4, atol=1e-6)


def _pair(original: object, converted: object, probe: str = "batch of 2", output: str = "y") -> Pair:
    return Pair(probe, output, np.asarray(original), None if converted is None else np.asarray(converted))


def test_a_difference_is_judged_by_the_scale_of_its_output() -> None:
    small, large = compare(
        [_pair([[0.0, 1000.0]], [[0.05, 1000.0]]), _pair([[0.0, 1.0]], [[0.05, 1.0]], output="z")], TOLERANCE
    )
    assert small.within
    assert small.rel == pytest.approx(5e-5)
    assert not large.within
    assert large.worst == "at [0, 0] 0.0 became 0.05"


def test_a_batch_of_tiny_answers_is_judged_by_the_ordinary_ones() -> None:
    pairs = [_pair([1.0], [1.0]), _pair([1e-9], [2e-9], "tiny"), _pair([1e6], [1e6 + 50], "large")]
    found = compare(pairs, TOLERANCE)
    assert [each.within for each in found] == [True, True, True]
    assert [each.scale for each in found] == [1.0, 1.0, 1e6]


@pytest.mark.parametrize(("bounded", "within"), [(True, [False, True, True]), (False, [True, True, True])])
def test_numbers_as_small_as_the_tolerance_are_compared_as_well(bounded: bool, within: list[bool]) -> None:
    small = [
        _pair([4e-7, -3e-7], [0.0, 0.0]),  # another model altogether
        _pair([4e-7, -3e-7], [4.0001e-7, -3e-7], output="near"),
        _pair([0.0], [5e-7], output="nothing"),
    ]
    found = compare(small, Tolerance(rtol=1e-4, atol=1e-6, bounded=bounded))
    assert [each.within for each in found] == within


@pytest.mark.parametrize(
    ("original", "converted", "within"),
    [
        ([np.nan, 1.0], [np.nan, 1.0], True),
        ([np.nan, 1.0], [0.0, 1.0], False),
        ([1.0], [np.nan], False),
        ([np.inf], [np.inf], True),
        ([np.inf], [-np.inf], False),
        ([np.inf], [3e38], False),
        (np.array([1e300]), np.array([np.inf], np.float32), True),  # beyond what float32 can say
    ],
)
def test_what_is_not_finite_has_to_be_the_same(original: object, converted: object, within: bool) -> None:
    assert compare([_pair(original, converted)], TOLERANCE)[0].within is within


def test_labels_are_the_same_or_not() -> None:
    same, other, texts = compare(
        [_pair([1, 2], [1, 2]), _pair([1, 2, 3, 4], [1, 2, 3, 5]), _pair(["a", "b"], np.array(["a", "b"], object))],
        TOLERANCE,
    )
    assert same.within
    assert texts.within
    assert (other.within, other.mean_abs, other.worst) == (False, 0.25, "at [3] 4 became 5")


def test_numbers_that_became_texts_are_a_difference() -> None:
    same, other = compare([_pair([1.0, 2.0], ["1.0", "2.0"]), _pair([1.0, 2.0], ["1.0", "cat"])], TOLERANCE)
    assert same.within
    assert (other.within, other.worst) == (False, "at [1] 2.0 became cat")


def test_outputs_that_tell_nothing_are_named() -> None:
    pairs = [
        _pair([np.nan, np.inf], [np.nan, np.inf]),
        _pair([1.0], [1.0], "zeros"),  # an edge alone is no evidence
        _pair(np.zeros((0, 4)), np.zeros((0, 4)), output="boxes"),
        _pair([np.nan, 1.0], [np.nan, 1.0], output="some"),
        _pair(["a"], ["a"], output="label"),
    ]
    assert unanswered(pairs) == ["y", "boxes"]


def test_columns_of_one_are_rows_and_other_shapes_are_a_difference() -> None:
    column, other = compare([_pair([1.0, 2.0], [[1.0], [2.0]]), _pair([[1.0, 2.0]], [[1.0], [2.0]])], TOLERANCE)
    assert column.within
    assert other.within  # [1, 2] of two numbers, as [2, 1]
    (wrong,) = compare([_pair([1.0, 2.0], [1.0, 2.0, 3.0])], TOLERANCE)
    assert not wrong.within
    assert wrong.worst == "shape [2] became [3]"


def test_a_failure_is_a_difference_but_for_no_rows() -> None:
    failed, empty = compare([_pair([1.0], None), _pair(np.zeros(0), None, "no rows")], TOLERANCE)
    assert beyond([failed, empty]) == [failed]


def test_what_is_not_judged_is_measured() -> None:
    found = compare([_pair([1.0], [1.0]), _pair([1.0], [2.0], "large")], TOLERANCE, skip=["large"])
    assert beyond(found) == []
    assert found[1].rel == 1.0
    assert worst(found) == 0.0
