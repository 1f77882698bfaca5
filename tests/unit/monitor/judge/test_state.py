"""A judge goes to JSON and back without a change of any number, and goes on as if nothing had been."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.monitor.judge.evidence import Counts, Policy
from services.monitor.judge.interruptions import Infra
from services.monitor.judge.kinds import KEPT, Kind, Side, limits
from services.monitor.judge.verdict import Judge
from tests.unit.monitor.judge.court import BEFORE, Court

sides = st.sampled_from(list(Side))
shares = st.sampled_from([None, 0.0, 0.05, 0.25, 1.0])
clients = st.sampled_from(["a", "b", "c", "d"])
steps = st.one_of(
    st.tuples(st.just("counts"), st.integers(0, 90), st.integers(0, 30), shares, st.booleans()),
    st.tuples(st.just("bad"), st.sampled_from(list(Kind)), sides, clients, shares, st.booleans()),
    st.tuples(st.just("outcome"), sides, clients, st.booleans(), shares),
    st.tuples(st.just("infra"), st.sampled_from(list(Infra)), st.one_of(st.none(), sides)),
    st.tuples(st.just("unanswered"), sides),
    st.tuples(st.just("lost"), st.integers(0, 5)),
    st.tuples(st.just("replayed"), st.integers(0, 50)),
)
policies = st.builds(Policy, ignore_slow=st.booleans(), max_disagreement=st.sampled_from([0.0, 0.1]))


def tell(judge: Judge, time: float, step: tuple) -> None:
    match step:
        case ("counts", stable, candidate, share, sticky):
            judge.counts(
                time, Counts(stable, stable // 20), Counts(candidate, candidate // 10), share=share, sticky=sticky
            )
        case ("bad", kind, side, client, share, sticky):
            judge.bad(kind, side, client, time, share=share, sticky=sticky)
        case ("outcome", side, client, wrong, share):
            judge.outcome(side, client, time - 30, wrong, share=share)
        case ("infra", what, side):
            judge.infra(time, what, side)
        case ("unanswered", side):
            judge.unanswered(time, side)
        case ("lost", count):
            judge.lost(time, count)
        case ("replayed", disagreed):
            judge.replayed(100, disagreed)


@settings(max_examples=60)
@given(policies, st.lists(steps, max_size=40), st.integers(0, 40))
def test_a_restart_changes_nothing(policy: Policy, told: list[tuple], restart: int) -> None:
    through = Judge.begin(policy, 2, 3, BEFORE)
    again = Judge.begin(policy, 2, 3, BEFORE)
    for number, step in enumerate(told):
        time = 1000 + 0.7 * number
        tell(through, time, step)
        tell(again, time, step)
        if number == restart:
            stored = again.to_json()
            again = Judge.from_json(stored)
            assert again.to_json() == stored
        assert again.evidence(time) == through.evidence(time)
    assert again.to_json() == through.to_json()


@settings(max_examples=60)
@given(st.lists(steps, max_size=40))
def test_once_rolled_back_always_rolled_back(told: list[tuple]) -> None:
    judge, first = Judge.begin(Policy(), 2, 3, BEFORE), None
    for number, step in enumerate(told):
        tell(judge, 1000 + number, step)
        first = first or judge.rollback
        assert judge.rollback == first


def test_of_another_format_is_refused() -> None:
    stored = json.loads(Court().judge.to_json())
    with pytest.raises(ValueError, match="format 99"):
        Judge.from_json(json.dumps(stored | {"format": 99}))


def test_stays_small_with_very_many_clients() -> None:
    court = Court(sticky=True)
    for number in range(11_000):
        court.bad(Side.STABLE, client=f"client-{number}")
    assert len(court.judge.suspects[Kind.ERRORS].clients.places) == 10_000
    assert len(court.judge.to_json()) < 1_000_000


@given(st.floats(0.0001, 0.2), st.sets(st.sampled_from(list(Kind)), min_size=1))
def test_the_parts_of_alpha_add_up(alpha: float, judged: set[Kind]) -> None:
    found = limits(alpha, judged)
    assert set(found) == judged
    assert sum(1 / limit for limit in found.values()) == pytest.approx((1 - KEPT) * alpha)


def test_kinds_that_are_not_judged_leave_their_part_to_the_others() -> None:
    assert limits(0.01, [Kind.ERRORS])[Kind.ERRORS] == pytest.approx(1000 / 9)
    assert limits(0.01, list(Kind))[Kind.ERRORS] > 1000 / 9
