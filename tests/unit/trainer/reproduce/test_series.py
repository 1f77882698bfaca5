"""Series compared step by step."""

from __future__ import annotations

import math

import pytest

from services.trainer.reproduce.series import Parting, compare_series
from services.trainer.reproduce.tolerance import Bound, Tolerance

LOSS = {1: 0.9, 2: 0.5, 3: 0.25, 4: 0.125}


def part(now: dict[int, float], bound: Bound | None = None, before: dict[int, float] = LOSS) -> Parting | None:
    found = compare_series({"loss": before}, {"loss": now}, Tolerance(series=bound))
    return found[0] if found else None


def test_equal_series_do_not_part() -> None:
    assert part(dict(reversed(LOSS.items()))) is None
    assert part({1: math.nan, 2: math.inf}, before={1: math.nan, 2: math.inf}) is None


def test_the_first_step_is_named_and_the_first_beyond_the_bound() -> None:
    found = part({1: 0.9, 2: 0.5000001, 3: 0.5, 4: 1.125}, Bound(absolute=0.01))
    assert found is not None
    assert (found.step, found.beyond_step, found.before, found.now) == (2, 3, 0.25, 0.5)
    assert (found.unequal, found.steps, found.absolute, found.absolute_at) == (3, 4, 1.0, 4)
    assert str(found) == "loss parts at step 3 (0.25, now 0.5)"


def test_within_the_bound_there_is_no_step_beyond() -> None:
    found = part({**LOSS, 3: 0.26}, Bound(relative=0.1))
    assert found is not None
    assert (found.step, found.beyond_step) == (3, None)
    assert str(found) == "loss parts at step 3 (0.25, now 0.26)"


@pytest.mark.parametrize("value", [math.nan, math.inf, None])
def test_no_bound_reaches_nan_infinity_or_nothing(value: float | None) -> None:
    now = {step: each for step, each in {**LOSS, 2: value}.items() if each is not None}
    found = part(now, Bound(absolute=1e300))
    assert found is not None
    assert found.beyond_step == 2
    assert "parts at step 2 (0.5, now " in str(found)


def test_a_series_of_one_run_only_parts_at_its_beginning() -> None:
    (found,) = compare_series({}, {"f1": {5: 1.0}}, Tolerance(series=Bound(absolute=9)))
    assert (found.metric, found.beyond_step, found.before, found.now) == ("f1", 5, None, 1.0)


def test_the_earliest_comes_first_and_what_measures_the_machine_is_left_out() -> None:
    before = {"accuracy": {1: 0.0, 9: 0.0}, "loss": LOSS, "rows_per_second": {1: 100.0}}
    now = {"accuracy": {1: 0.0, 9: 1.0}, "loss": {**LOSS, 4: 0.0}, "rows_per_second": {1: 90.0}}
    found = compare_series(before, now, Tolerance(ignored_series=("*_per_second",)))
    assert [(each.metric, each.beyond_step) for each in found] == [("loss", 4), ("accuracy", 9)]
