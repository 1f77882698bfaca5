"""Arrays compared value by value."""

from __future__ import annotations

import math
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from services.trainer.reproduce.tensors import Gap, Kind, compare, compare_arrays
from services.trainer.reproduce.tolerance import Bound

NAN, INF = math.nan, math.inf


def gap(before: Any, now: Any, bound: Bound | None = None, dtype: Any = np.float32) -> Gap | None:
    return compare_arrays("w", np.array(before, dtype), np.array(now, dtype), bound or Bound())


def test_the_greatest_differences_are_found_with_their_places() -> None:
    before = np.ones((3, 4), np.float64)
    before[2, 1] = 1000.0
    now = before.copy()
    now[0, 3] += 0.5  # the greatest relative one
    now[2, 1] += 2.0  # the greatest absolute one
    found = compare_arrays("w", before, now, Bound())
    assert found is not None
    assert (found.kind, found.unequal, found.size, found.first, found.beyond) == (Kind.VALUE, 2, 12, (0, 3), True)
    assert (found.absolute, found.absolute_at) == (2.0, (2, 1))
    assert (found.relative, found.relative_at) == (0.5, (0, 3))
    assert str(found) == "w[2, 1] differs by 2 (relative 0.5 at w[0, 3])"


def test_the_bound_is_absolute_plus_relative_of_what_was_before() -> None:
    bound = Bound(absolute=0.25, relative=0.125)
    for now, beyond in ((9.25, False), (9.26, True), (6.75, False), (6.74, True)):
        found = gap([8.0], [now], bound, np.float64)
        assert found is not None
        assert found.beyond is beyond


def test_first_is_the_first_beyond_the_bound() -> None:
    found = gap([1.0, 1.0, 1.0], [1.001, 2.0, 9.0], Bound(absolute=0.01))
    assert found is not None
    assert (found.first, found.before, found.now) == ((1,), "1.0", "2.0")
    within = gap([1.0, 1.0], [1.0, 1.001], Bound(absolute=0.01))
    assert within is not None
    assert (within.first, within.beyond) == ((1,), False)


@pytest.mark.parametrize("value", [NAN, INF, -INF, 0.0])
def test_what_is_equal_has_no_gap(value: float) -> None:
    assert gap([1.0, value], [1.0, value]) is None
    assert gap([0.0], [-0.0]) is None
    assert gap(np.zeros((0, 3)), np.zeros((0, 3))) is None


@pytest.mark.parametrize(("before", "now"), [(NAN, 1.0), (1.0, NAN), (INF, -INF), (INF, NAN), (1.0, INF), (INF, 1.0)])
def test_no_tolerance_reaches_nan_or_infinity(before: float, now: float) -> None:
    found = gap([0.0, before], [0.0, now], Bound(absolute=1e300, relative=1e300))
    assert found is not None
    assert (found.beyond, found.absolute, found.relative, found.first) == (True, INF, INF, (1,))
    assert Gap.model_validate_json(found.model_dump_json()) == found


def test_from_zero_every_difference_is_relatively_infinite() -> None:
    found = gap([0.0], [0.5], Bound(absolute=1.0))
    assert found is not None
    assert (found.relative, found.beyond) == (INF, False)


def test_a_bound_is_of_floats_only() -> None:
    found = gap([5, 2**63 - 1], [6, -(2**63)], Bound(absolute=1e30), np.int64)
    assert found is not None
    assert (found.beyond, found.first, found.absolute) == (True, (0,), float(2**64 - 1))
    assert gap([2**53], [2**53 + 1], dtype=np.int64) is not None  # equal as doubles
    flags = gap([True, False], [True, True], Bound(absolute=2), np.bool_)
    assert flags is not None
    assert (flags.beyond, flags.absolute) == (True, 1.0)


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, ml_dtypes.float8_e4m3fn, np.complex64])
def test_narrow_and_complex_floats_are_floats(dtype: Any) -> None:
    assert gap([1.0, NAN], [1.0, NAN], dtype=dtype) is None
    found = gap([1.0, 2.0], [1.0, 2.5], Bound(absolute=0.5), dtype)
    assert found is not None
    assert (found.absolute, found.relative, found.beyond) == (0.5, 0.25, False)


def test_integers_of_four_bits_are_compared() -> None:
    found = gap([1, -8], [1, 7], dtype=ml_dtypes.int4)
    assert found is not None
    assert (found.first, found.absolute) == ((1,), 15.0)


def test_texts_are_compared_whatever_their_length() -> None:
    assert compare_arrays("t", np.array(["a", "bb"]), np.array(["a", "bb"], object), None) is None
    found = compare_arrays("t", np.array(["a", "bb"]), np.array(["a", "ccc"]), Bound(absolute=9))
    assert found is not None
    assert (found.kind, found.first, found.before, found.now, found.absolute) == (Kind.VALUE, (1,), "bb", "ccc", INF)


def test_types_and_shapes_are_told_before_values() -> None:
    typed = compare_arrays("w", np.zeros(2, np.float32), np.zeros(2, np.float64), None)
    shaped = compare_arrays("w", np.zeros((2, 3)), np.zeros((3, 2)), None)
    assert typed is not None
    assert shaped is not None
    assert str(typed) == "w has the type float32 and float64 in the reproduction"
    assert str(shaped) == "w has the shape (2, 3) and (3, 2) in the reproduction"


def test_a_scalar_has_a_place_too() -> None:
    found = compare_arrays("w", np.array(1.0), np.array(2.0), None)
    assert found is not None
    assert (found.first, found.absolute_at) == ((), ())
    assert str(found) == "w differs by 1 (relative 1 at w)"


def test_gaps_come_in_the_order_of_the_model_and_what_only_one_has_is_named() -> None:
    one = np.ones(2)
    found = list(compare({"z": one, "gone": one, "a": one}, {"a": one * 2, "z": one * 3, "new": one}, None))
    assert [(each.name, each.kind) for each in found] == [
        ("z", Kind.VALUE), ("gone", Kind.MISSING), ("a", Kind.VALUE), ("new", Kind.ADDED),
    ]  # fmt: skip


def test_blocks_do_not_change_what_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    before = random.normal(size=(7, 11))
    now = np.where(random.random((7, 11)) < 0.3, before * 1.5, before)
    whole = compare_arrays("w", before, now, Bound(absolute=0.2))
    monkeypatch.setattr("services.trainer.reproduce.tensors._BLOCK", 5)
    assert compare_arrays("w", before, now, Bound(absolute=0.2)) == whole
    assert whole is not None
    apart = np.abs(now - before)
    assert whole.absolute == apart.max()
    assert whole.absolute_at == tuple(np.unravel_index(apart.argmax(), apart.shape))
    assert whole.first == tuple(np.argwhere(apart > 0.2)[0])
