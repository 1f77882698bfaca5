"""Hold, promote or roll back, and why."""

from __future__ import annotations

from dataclasses import replace

import pytest

from services.monitor.judge.evidence import Counts, Policy, Verdict, Why
from services.monitor.judge.interruptions import Infra
from services.monitor.judge.kinds import Kind, Side
from services.monitor.judge.slow import Histogram
from services.monitor.judge.verdict import Judge
from tests.unit.monitor.judge.court import BEFORE, START, Court


def test_a_good_version_is_promoted_on_bounds_not_on_silence() -> None:
    court = Court()
    first = court.seconds(5, stable=0.005, candidate=0.005)
    assert (first.verdict, first.reason) == (Verdict.HOLD, Why.TOO_FEW)
    assert first.more_requests > 0
    assert f"about {first.more_requests:,} more" in first.message
    last = court.seconds(120, stable=0.005, candidate=0.005)
    assert (last.verdict, last.reason) == (Verdict.PROMOTE, Why.GOOD)
    assert last.upper_difference <= 0.02
    assert "95% confidence" in last.message


@pytest.mark.parametrize(("errors", "seconds"), [(0.1, 30), (1.0, 2)])
def test_a_version_that_fails_is_rolled_back_with_its_numbers(errors: float, seconds: int) -> None:
    court = Court()
    found = court.seconds(seconds, stable=0.005, candidate=errors)
    assert (found.verdict, found.reason) == (Verdict.ROLLBACK, Why.BAD_ERRORS)
    assert found.message.startswith("version 3 failed ")
    assert "requests, version 2 " in found.message
    assert "times as likely" in found.message or found.suspicions[0].stable_events == 0


def test_a_version_that_is_slow_is_rolled_back() -> None:
    found = Court().seconds(60, slow=0.2)
    assert (found.verdict, found.reason) == (Verdict.ROLLBACK, Why.BAD_SLOW)
    assert found.slow_ms == 25
    assert "was slow in" in found.message


def test_a_version_that_is_wrong_is_rolled_back() -> None:
    court = Court()
    for number in range(400):
        if number % 10 == 0:
            court.second(requests=10)
        side = Side.CANDIDATE if number % 10 == 0 else Side.STABLE
        court.label(side, wrong=side is Side.CANDIDATE and number % 20 == 0)
    found = court.judge.evidence(court.now)
    assert (found.verdict, found.reason) == (Verdict.ROLLBACK, Why.BAD_OUTCOMES)
    assert "reported" in found.message
    assert (found.candidate.outcomes, found.candidate.wrong) == (40, 20)


def test_answers_that_differ_in_replay_roll_back() -> None:
    court = Court(Policy(max_disagreement=0.05))
    court.judge.replayed(200, 60)
    found = court.judge.evidence(court.now)
    assert (found.verdict, found.reason) == (Verdict.ROLLBACK, Why.DISAGREES)
    assert "60 of 200" in found.message


def test_of_many_replays_the_first_counts() -> None:
    court = Court(Policy(max_disagreement=0.05))
    court.judge.replayed(0, 0)  # nothing could be compared
    court.judge.replayed(200, 12)
    court.judge.replayed(200, 60)
    assert not court.judge.rolled_back
    assert court.judge.evidence(court.now).suspicions[-1].candidate_events == 12


def test_replay_is_not_judged_unless_it_is_asked_for() -> None:
    court = Court()
    court.judge.replayed(200, 200)
    assert not court.judge.rolled_back


def test_what_was_rolled_back_stays_so() -> None:
    court = Court()
    bad = court.seconds(60, candidate=0.5)
    assert bad.verdict is Verdict.ROLLBACK
    court.judge.infra(court.now, Infra.NODE_LOST, Side.CANDIDATE)
    later = [court.second() for _ in range(30)][-1]
    assert (later.verdict, later.reason, later.message) == (Verdict.ROLLBACK, bad.reason, bad.message)


def test_no_requests_are_no_verdict() -> None:
    court = Court()
    assert court.judge.evidence(court.now).reason is Why.NO_DATA
    for _ in range(5):
        found = court.second(requests=0)
        assert (found.verdict, found.reason) == (Verdict.HOLD, Why.NO_DATA)


def test_traffic_that_ends_is_no_verdict() -> None:
    court = Court()
    assert court.seconds(60).verdict is Verdict.PROMOTE
    reasons = [court.second(requests=0).reason for _ in range(70)]
    assert reasons[10] is Why.GOOD, "the numbers are still new"
    assert reasons[-1] is Why.NO_DATA


def test_old_counts_are_no_evidence() -> None:
    court = Court()
    assert court.seconds(60).verdict is Verdict.PROMOTE
    found = court.judge.evidence(court.now + 6)
    assert (found.verdict, found.reason, found.time) == (Verdict.HOLD, Why.STALE, court.now)


def test_bad_requests_that_were_not_reported_forbid_promotion_for_a_while() -> None:
    court = Court()
    court.seconds(60)
    court.judge.lost(court.now, 3)
    found = court.second()
    assert (found.verdict, found.reason, found.lost_events) == (Verdict.HOLD, Why.EVENTS_LOST, 3)
    for _ in range(61):
        found = court.second()
    assert (found.verdict, found.lost_events) == (Verdict.PROMOTE, 0)


def test_a_suspicious_version_is_not_promoted_whatever_its_rates() -> None:
    court = Court()
    court.seconds(100)
    for _ in range(2):
        court.bad(Side.CANDIDATE)
    found = court.second()
    assert (found.verdict, found.reason) == (Verdict.HOLD, Why.SUSPECT)
    assert 0.1 * found.suspicions[0].limit <= found.suspicions[0].evidence < found.suspicions[0].limit


def test_worse_than_the_margin_is_said_though_it_may_not_be_blamed() -> None:
    """Counted by gateways only: nothing rolls back, and nothing is promoted."""
    court = Court()
    for _ in range(30):
        court.now += 1
        court.judge.counts(court.now, Counts(90), Counts(10, 2), share=0.1)
    found = court.judge.evidence(court.now)
    assert (found.verdict, found.reason) == (Verdict.HOLD, Why.ABOVE_MARGIN)
    assert "60 of 300 requests of version 3 were bad, 0 of 2,700 of version 2" in found.message


def test_labels_have_to_be_as_good_when_there_are_any() -> None:
    court = Court()
    assert court.seconds(60).verdict is Verdict.PROMOTE
    for _ in range(50):
        court.label(Side.CANDIDATE, wrong=False)
        court.label(Side.STABLE, wrong=False)
    found = court.second()
    assert (found.verdict, found.reason) == (Verdict.HOLD, Why.TOO_FEW)
    assert "50 reported outcomes of version 3" in found.message
    for _ in range(400):
        court.label(Side.CANDIDATE, wrong=False)
        court.label(Side.STABLE, wrong=False)
    assert court.second().verdict is Verdict.PROMOTE


def test_labels_do_not_matter_when_they_are_ignored() -> None:
    court = Court(Policy(ignore_outcomes=True))
    court.seconds(60)
    for _ in range(100):
        court.label(Side.CANDIDATE, wrong=True)
    assert court.second().verdict is Verdict.PROMOTE


def test_each_share_is_compared_for_itself() -> None:
    """An outage of both under the first weights is no excuse under the next ones."""
    court = Court()
    court.seconds(60, stable=0.5, candidate=0.5)
    assert not court.judge.rolled_back
    court.share = 0.25
    found = court.seconds(60, stable=0.0, candidate=0.03)
    assert found.verdict is not Verdict.PROMOTE


def test_an_outage_of_both_is_not_blamed_on_the_candidate() -> None:
    for seed in range(2):
        court = Court(seed=seed)
        court.seconds(20)
        found = court.seconds(40, stable=0.8, candidate=0.8)
        assert found.verdict is Verdict.HOLD, found.message


def test_a_bad_stable_version_is_not_blamed_on_a_candidate_that_mends_it() -> None:
    found = Court().seconds(60, stable=0.2, candidate=0.001)
    assert found.verdict is Verdict.PROMOTE
    assert found.suspicions[0].evidence < 1


def test_too_much_for_the_candidate_is_not_held_against_it() -> None:
    """Declared are 10 %, 40 % arrive: bad requests fall to it four times as often."""
    court = Court()
    for number in range(60):
        court.now += 1
        court.judge.counts(court.now, Counts(60, 1), Counts(40, 1), share=0.1)
        court.bad(Side.CANDIDATE)
        if number % 2:
            court.bad(Side.STABLE)
    found = court.judge.evidence(court.now)
    assert (found.verdict, found.reason) == (Verdict.HOLD, Why.SPLIT_MISMATCH)
    assert found.realised_share == pytest.approx(0.4)
    assert found.suspicions[0].evidence < found.suspicions[0].limit
    assert "40.00%" in found.message
    assert "10.00%" in found.message


def test_too_little_for_the_candidate_does_not_save_it() -> None:
    court = Court()
    for _ in range(60):
        court.now += 1
        court.judge.counts(court.now, Counts(99), Counts(1), share=0.1)
    assert court.judge.evidence(court.now).reason is Why.SPLIT_MISMATCH
    for _ in range(10):
        court.bad(Side.CANDIDATE)
    assert court.judge.evidence(court.now).reason is Why.BAD_ERRORS


def test_sticky_routes_are_not_checked_by_requests() -> None:
    court = Court(sticky=True)
    for _ in range(60):
        court.now += 1
        court.judge.counts(court.now, Counts(60), Counts(40), share=0.1, sticky=True)
    assert court.judge.evidence(court.now).reason is Why.GOOD


def test_one_client_that_fails_for_ever_is_one_event_on_a_sticky_route() -> None:
    court = Court(sticky=True)
    for _ in range(500):
        court.bad(Side.CANDIDATE, client="poison")
    found = court.second()
    assert found.verdict is Verdict.HOLD
    assert (found.suspicions[0].candidate_events, found.suspicions[0].candidate_raw) == (1, 500)


def test_while_weights_change_nothing_is_evidence() -> None:
    court = Court()
    court.seconds(5)
    court.share = None
    for _ in range(20):
        court.bad(Side.CANDIDATE)
    found = court.second()
    assert found.suspicions[0].candidate_events == 0
    assert found.suspicions[0].candidate_raw == 20
    assert found.candidate.requests + found.stable.requests == 600, "totals have everything"


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_all_to_one_version_is_nothing_to_compare(share: float) -> None:
    court = Court(share=share)
    court.judge.counts(court.now, Counts(10), Counts(10), share=share)
    court.bad(Side.CANDIDATE)
    found = court.judge.evidence(court.now)
    assert (found.verdict, found.reason) == (Verdict.HOLD, Why.NO_DATA)
    assert found.suspicions[0].evidence == pytest.approx(1)


def test_slowness_is_not_judged_without_a_threshold_and_its_alpha_goes_to_the_others() -> None:
    known = Judge.begin(Policy(), 2, 3, BEFORE)
    unknown = Judge.begin(Policy(), 2, 3, Histogram((1.0,), (3, 3)))
    assert known.slow_ms == 25
    assert set(known.suspects) == {Kind.ERRORS, Kind.SLOW, Kind.OUTCOMES}
    assert unknown.slow_ms == 0
    assert set(unknown.suspects) == {Kind.ERRORS, Kind.OUTCOMES}
    assert unknown.suspects[Kind.ERRORS].limit < known.suspects[Kind.ERRORS].limit
    unknown.bad(Kind.SLOW, Side.CANDIDATE, "a", START, share=0.1)


def test_a_given_threshold_wins_and_an_ignored_one_is_none() -> None:
    policy = Policy(slow_ms=80.0)
    assert Judge.begin(policy, 2, 3, BEFORE).slow_ms == 80
    assert Judge.begin(replace(policy, ignore_slow=True), 2, 3, BEFORE).slow_ms == 0


def test_recent_requests_are_those_of_ten_seconds() -> None:
    court = Court()
    found = court.seconds(15)
    assert found.stable.recent_requests + found.candidate.recent_requests == 1000
    assert found.stable.requests + found.candidate.requests == 1500
