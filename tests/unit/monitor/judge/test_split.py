"""Whether the split is what it was told to be."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.monitor.judge.split import Split


def realised(declared: float, real: float, seconds: int, seed: int, a_second: int = 100) -> Split:
    dice, split = random.Random(seed), Split(declared)
    for _ in range(seconds):
        candidate = sum(dice.random() < real for _ in range(a_second))
        split.add(a_second - candidate, candidate)
    return split


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5])
def test_a_right_split_is_left_alone(share: float) -> None:
    for seed in range(10):
        split = realised(share, share, 60, seed)
        assert not split.mismatch


@pytest.mark.parametrize(("real", "too_much"), [(0.2, True), (0.05, False)])
def test_a_wrong_split_is_seen_within_a_minute(real: float, too_much: bool) -> None:
    split = realised(0.1, real, 60, 1)
    assert split.mismatch
    assert split.too_much is too_much
    assert split.realised == pytest.approx(real, abs=0.02)


@given(st.lists(st.tuples(st.integers(0, 500), st.integers(0, 500)), max_size=20), st.floats(0.01, 0.99))
def test_seconds_can_be_added_up(counts: list[tuple[int, int]], share: float) -> None:
    one, many = Split(share), Split(share)
    for stable, candidate in counts:
        many.add(stable, candidate)
    one.add(sum(stable for stable, _ in counts), sum(candidate for _, candidate in counts))
    assert one.logs == pytest.approx(many.logs, rel=1e-9, abs=1e-6)


@given(st.floats(0.01, 0.99), st.integers(0, 200), st.integers(0, 200))
def test_the_next_request_is_a_fair_bet(share: float, stable: int, candidate: int) -> None:
    def evidence(more_stable: int, more_candidate: int) -> float:
        split = Split(share)
        split.add(stable + more_stable, candidate + more_candidate)
        return split.evidence

    mean = share * evidence(0, 1) + (1 - share) * evidence(1, 0)
    assert mean == pytest.approx(evidence(0, 0), rel=1e-9)


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_there_is_nothing_to_check_when_all_goes_one_way(share: float) -> None:
    split = Split(share)
    split.add(1000, 0)
    assert not split.mismatch
