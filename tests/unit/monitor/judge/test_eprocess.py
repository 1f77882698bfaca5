"""Evidence is a bet that a candidate which is no worse cannot lose on, however often one looks."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.monitor.judge.eprocess import (
    HELD_BACK,
    RATIOS,
    STAKES,
    EProcess,
    factors,
    held_back,
    log_sum,
    put_in,
)

shares = st.floats(0.0001, 0.9999)
events = st.lists(st.tuples(st.booleans(), shares), max_size=150)


def after(told: list[tuple[bool, float]]) -> EProcess:
    process = EProcess.begin()
    for candidate, share in told:
        process.observe(candidate, share)
    return process


def test_begins_at_one_with_all_of_the_stake() -> None:
    assert sum(STAKES) == pytest.approx(1)
    assert EProcess.begin().evidence == pytest.approx(1)


@given(shares)
def test_factors_are_the_likelihood_ratios(share: float) -> None:
    mine, others = factors(share)
    for ratio, up, down in zip(RATIOS, mine, others, strict=True):
        chance = share * ratio / (share * ratio + 1 - share)
        assert math.exp(up) == pytest.approx(chance / share)
        assert math.exp(down) == pytest.approx((1 - chance) / (1 - share))


@given(events, shares, st.floats(0, 1))
def test_the_next_event_is_a_fair_or_losing_bet(told: list[tuple[bool, float]], share: float, part: float) -> None:
    """The supermartingale, exactly: the mean over who gets the next event, at a probability up to the share."""
    process = after(told)
    mine, others = process.copy(), process.copy()
    mine.observe(True, share)
    others.observe(False, share)
    chance = part * share
    mean = chance * mine.evidence + (1 - chance) * others.evidence
    assert mean <= process.evidence * (1 + 1e-9)
    fair = share * mine.evidence + (1 - share) * others.evidence
    assert fair == pytest.approx(process.evidence, rel=1e-9)


@given(events)
def test_beginning_again_moves_stake_and_makes_none(told: list[tuple[bool, float]]) -> None:
    process = after(told)
    again = process.copy()
    again.begin_again()
    assert again.evidence == pytest.approx(process.evidence, rel=1e-9)


@given(st.integers(0, 2000))
def test_no_more_is_put_in_than_was_held_back(starts: int) -> None:
    assert sum(put_in(start) for start in range(1, starts + 1)) + held_back(starts) == pytest.approx(HELD_BACK)


@given(events, st.data())
def test_more_of_the_candidate_is_more_evidence(told: list[tuple[bool, float]], data: st.DataObject) -> None:
    """An event that was the candidate's instead of the stable version's never lowers evidence."""
    if not told:
        return
    place = data.draw(st.integers(0, len(told) - 1))
    without = [*told[:place], (False, told[place][1]), *told[place + 1 :]]
    with_it = [*told[:place], (True, told[place][1]), *told[place + 1 :]]
    assert after(with_it).log_evidence >= after(without).log_evidence - 1e-9


@given(events, st.sampled_from([0.0, 1.0]))
def test_an_event_that_could_only_be_one_versions_tells_nothing(told: list[tuple[bool, float]], share: float) -> None:
    process = after(told)
    before = process.dump()
    process.observe(True, share)
    assert process.dump() == before


def test_a_good_version_seldom_reaches_the_limit() -> None:
    """Ville's inequality, seen: 400 good releases of 200 bad requests, shares that change, looked at after each."""
    dice, limit, crossed = random.Random(11), 20.0, 0
    for _ in range(400):
        process = EProcess.begin()
        for number in range(200):
            share = 0.1 if number < 100 else 0.4
            process.observe(dice.random() < share, share)
            if process.evidence >= limit:
                crossed += 1
                break
    assert crossed <= 400 / limit + 3 * math.sqrt(400 / limit), crossed


def test_what_turns_bad_late_is_found_soon() -> None:
    """Without stake held back, a thousand good events would have to be made up for first."""
    dice, process = random.Random(5), EProcess.begin()
    for _ in range(1000):
        process.observe(dice.random() < 0.1, 0.1)
    assert process.evidence < 1
    needed = 0
    while process.evidence < 100:
        process.observe(True, 0.1)
        needed += 1
    assert needed <= 12, needed


def test_large_evidence_stays_a_number() -> None:
    process = after([(True, 0.001)] * 2000)
    assert math.isfinite(process.evidence)
    assert process.log_evidence > 700


def test_log_sum_of_far_apart_numbers() -> None:
    assert log_sum([-2000.0, 3.0]) == pytest.approx(3.0)
    assert log_sum([1000.0, 1000.0]) == pytest.approx(1000 + math.log(2))
