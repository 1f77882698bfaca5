"""What counts as slow is fixed before the release."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.monitor.judge.slow import AT_LEAST_MORE_MS, ENOUGH, FACTOR, Histogram, threshold

BOUNDS = (1.0, 2.0, 3.0, 5.0, 7.0, 10.0, 15.0, 25.0, 50.0, 100.0)


def histogram(buckets: list[int]) -> Histogram:
    return Histogram(BOUNDS, tuple(sum(buckets[: n + 1]) for n in range(len(BOUNDS) + 1)))


def test_is_twice_the_99th_percentile_up_to_the_next_bound() -> None:
    before = histogram([0, 0, 0, 0, 0, 0, 500, 490, 10, 0, 0])
    assert before.quantile(0.99) == pytest.approx(25.0)
    assert threshold(before) == 50.0


def test_is_at_least_five_milliseconds_more() -> None:
    assert threshold(histogram([1000, *[0] * 10])) == 7.0


@pytest.mark.parametrize(
    "buckets",
    [
        pytest.param([0] * 11, id="no requests"),
        pytest.param([ENOUGH - 1, *[0] * 10], id="too few"),
        pytest.param([0] * 10 + [1000], id="beyond the last bound"),
        pytest.param([0] * 9 + [1000, 0], id="twice that would be beyond it"),
    ],
)
def test_is_none_when_there_is_too_little_to_tell(buckets: list[int]) -> None:
    assert threshold(histogram(buckets)) is None


@given(st.lists(st.integers(0, 1000), min_size=11, max_size=11))
def test_the_stable_version_itself_is_seldom_slow(buckets: list[int]) -> None:
    before = histogram(buckets)
    found = threshold(before)
    if found is None:
        return
    p99 = before.quantile(0.99)
    assert p99 is not None
    assert found in BOUNDS
    assert found >= max(FACTOR * p99, p99 + AT_LEAST_MORE_MS)
    assert before.above(found) <= 0.01 * before.total


@given(st.lists(st.integers(0, 1000), min_size=11, max_size=11), st.floats(0, 1), st.floats(0, 1))
def test_quantiles_rise(buckets: list[int], one: float, other: float) -> None:
    low, high = (histogram(buckets).quantile(part) for part in sorted((one, other)))
    assert low is None or high is None or low <= high


@pytest.mark.parametrize("counts", [(1, 2), (5, *[4] * 10)])
def test_counts_have_to_be_cumulative(counts: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="cumulative"):
        Histogram(BOUNDS, counts)
