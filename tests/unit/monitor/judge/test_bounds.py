"""Bounds that hold at all times at once."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.monitor.judge.bounds import log_martingale, lower, upper
from services.monitor.judge.promotion import Rate, gap, more_requests

counts = st.integers(1, 50_000).flatmap(lambda total: st.tuples(st.integers(0, total), st.just(total)))


@given(counts, st.floats(0.001, 0.2))
def test_are_where_the_martingale_reaches_its_limit(count: tuple[int, int], alpha: float) -> None:
    bad, total = count
    low, high = lower(bad, total, alpha), upper(bad, total, alpha)
    assert 0 <= low <= bad / total <= high <= 1
    for edge in (low, high):
        if 1e-6 < edge < 1 - 1e-6:
            assert log_martingale(bad, total, edge) == pytest.approx(-math.log(alpha), abs=1e-4)


def test_know_nothing_without_data() -> None:
    assert (lower(0, 0, 0.05), upper(0, 0, 0.05)) == (0.0, 1.0)


@given(st.integers(1, 30), st.floats(0.01, 0.9))
def test_are_a_martingale(total: int, rate: float) -> None:
    """Exactly: the mean of M over all outcomes at the true rate is 1."""
    mean = sum(
        math.comb(total, bad) * rate**bad * (1 - rate) ** (total - bad) * math.exp(log_martingale(bad, total, rate))
        for bad in range(total + 1)
    )
    assert mean == pytest.approx(1, rel=1e-6)


def test_seldom_miss_though_looked_at_all_the_time() -> None:
    dice, missed, runs = random.Random(7), 0, 200
    for _ in range(runs):
        bad = 0
        for total in range(1, 400):
            bad += dice.random() < 0.03
            if log_martingale(bad, total, 0.03) >= -math.log(0.1):
                missed += 1
                break
    assert missed <= 0.1 * runs + 3 * math.sqrt(0.09 * runs), missed


def test_no_errors_are_no_promotion_until_there_were_enough_requests() -> None:
    stable = Rate(2, 2000)
    assert not gap(stable, Rate(0, 20), 0.05, 0.02).within
    assert gap(stable, Rate(0, 300), 0.05, 0.02).within


def test_an_outage_of_both_lets_nothing_through() -> None:
    """Nearly everything fails in both: the difference is small, and says nothing."""
    assert not gap(Rate(99_000, 100_000), Rate(9_990, 10_000), 0.05, 0.02).within
    assert not gap(Rate(100_000, 100_000), Rate(10_000, 10_000), 0.05, 0.02).within


def test_a_bad_stable_version_is_not_blamed_on_a_candidate_that_mends_it() -> None:
    assert gap(Rate(30_000, 100_000), Rate(200, 10_000), 0.05, 0.02).within


@given(st.integers(0, 40), st.integers(500, 5000), st.integers(0, 5), st.integers(20, 250))
def test_says_how_many_more_are_needed(bad: int, total: int, new_bad: int, new_total: int) -> None:
    stable, new = Rate(bad, total), Rate(min(new_bad, new_total), new_total)
    if gap(stable, new, 0.05, 0.02).within:
        return
    more = more_requests(stable, new, 0.05, 0.02)
    if more == 0:
        far = 1e6
        assert new.seen - stable.seen > 0 or not gap(stable.times(far), new.times(far), 0.05, 0.02).within
        return
    factor = (new_total + more) / new_total
    assert gap(stable.times(1.05 * factor), new.times(1.05 * factor), 0.05, 0.02).within
    assert factor < 1.3 or not gap(stable.times(0.7 * factor), new.times(0.7 * factor), 0.05, 0.02).within


def test_says_when_no_number_will_do() -> None:
    assert more_requests(Rate(5, 1000), Rate(10, 100), 0.05, 0.02) == 0
