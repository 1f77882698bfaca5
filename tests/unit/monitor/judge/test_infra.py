"""What happens to machines is not what versions do, unless it happens to one version again and again."""

from __future__ import annotations

import pytest

from services.monitor.judge.evidence import Verdict, Why
from services.monitor.judge.interruptions import PATIENCE_SECONDS, SETTLE_SECONDS, TOO_MANY, WITHIN_SECONDS, Infra
from services.monitor.judge.kinds import Kind, Side
from tests.unit.monitor.judge.court import Court


@pytest.mark.parametrize("what", list(Infra))
def test_holds_until_it_has_settled(what: Infra) -> None:
    court = Court()
    assert court.seconds(60).verdict is Verdict.PROMOTE
    court.judge.infra(court.now, what)
    settled = court.now + SETTLE_SECONDS
    while court.now + 1 < settled:
        found = court.second()
        assert (found.verdict, found.reason, found.infra_until) == (Verdict.HOLD, Why.INFRA, settled)
        assert what in found.message
    assert court.seconds(60).verdict is Verdict.PROMOTE


def test_failures_until_then_are_not_held_against_the_candidate() -> None:
    court = Court()
    court.seconds(10)
    court.judge.infra(court.now, Infra.NODE_LOST, Side.CANDIDATE)
    for _ in range(int(SETTLE_SECONDS) - 1):
        found = court.second(candidate=1.0)
        assert found.verdict is Verdict.HOLD
    assert found.suspicions[0].candidate_events == 0
    assert found.suspicions[0].candidate_raw > 50
    assert found.infra_events == 1


def test_failures_just_before_it_was_noticed_are_taken_back() -> None:
    court = Court()
    court.seconds(10)
    kept = court.judge.suspects[Kind.ERRORS].process.log_evidence
    court.now += 1.5
    for _ in range(3):
        court.bad(Side.CANDIDATE)
    assert court.judge.suspects[Kind.ERRORS].process.log_evidence > kept + 1
    court.judge.infra(court.now + 1, Infra.NODE_LOST, Side.CANDIDATE)
    assert court.judge.suspects[Kind.ERRORS].process.log_evidence <= kept + 1e-9
    assert court.judge.suspects[Kind.ERRORS].tally.candidate == 0


def test_what_is_older_is_not_taken_back() -> None:
    court = Court()
    for _ in range(2):
        court.bad(Side.CANDIDATE)
    kept = court.judge.suspects[Kind.ERRORS].process.log_evidence
    court.seconds(20)
    court.judge.infra(court.now, Infra.GATEWAY_RESTARTED)
    assert court.judge.suspects[Kind.ERRORS].process.log_evidence == kept


def test_wrong_answers_are_not_excused_by_machines() -> None:
    court = Court()
    court.seconds(10)
    court.judge.infra(court.now, Infra.NODE_LOST, Side.STABLE)
    for number in range(200):
        court.label(Side.STABLE if number % 10 else Side.CANDIDATE, wrong=not number % 10)
    assert court.judge.evidence(court.now).reason is Why.BAD_OUTCOMES


def test_a_version_whose_nodes_are_lost_again_and_again_is_rolled_back() -> None:
    court = Court()
    for number in range(TOO_MANY):
        court.seconds(30)
        assert not court.judge.rolled_back, number
        court.judge.infra(court.now, Infra.NODE_LOST, Side.CANDIDATE)
    found = court.second()
    assert (found.verdict, found.reason) == (Verdict.ROLLBACK, Why.INFRA_CANDIDATE)
    assert "3 times" in found.message


def test_nodes_that_are_lost_now_and_then_are_no_evidence() -> None:
    court = Court()
    for _ in range(20):
        court.now += WITHIN_SECONDS / 2
        court.judge.infra(court.now, Infra.NODE_LOST, Side.CANDIDATE)
    assert not court.judge.rolled_back


def test_nodes_that_are_lost_together_are_lost_once() -> None:
    court = Court()
    court.seconds(20)
    for number in range(5):
        court.judge.infra(court.now + 0.2 * number, Infra.NODE_LOST, Side.CANDIDATE)
    assert not court.judge.rolled_back


def test_nodes_that_both_lose_are_nobodys_fault() -> None:
    court = Court()
    for _ in range(5):
        court.seconds(15)
        court.judge.infra(court.now, Infra.NODE_LOST, Side.STABLE)
        court.judge.infra(court.now, Infra.NODE_LOST, Side.CANDIDATE)
    assert court.second().verdict is Verdict.HOLD


def test_a_candidate_that_no_request_reaches_is_rolled_back_after_patience() -> None:
    court = Court()
    for number in range(int(PATIENCE_SECONDS) + 1):
        assert not court.judge.rolled_back, number
        court.second()
        court.judge.unanswered(court.now, Side.CANDIDATE)
    assert court.judge.evidence(court.now).reason is Why.INFRA_CANDIDATE


def test_requests_that_reach_nobody_now_and_then_are_no_evidence_but_hold() -> None:
    court = Court()
    for _ in range(5):
        court.seconds(int(SETTLE_SECONDS) + 2)
        court.judge.unanswered(court.now, Side.CANDIDATE)
    found = court.second()
    assert (found.verdict, found.reason, found.infra_events) == (Verdict.HOLD, Why.INFRA, 5)
    assert court.seconds(int(SETTLE_SECONDS) + 1).verdict is Verdict.PROMOTE


def test_a_candidate_that_is_half_dead_is_never_promoted_though_the_other_loses_one_too() -> None:
    court = Court()
    court.second()
    for number in range(60):
        court.lose(stable=1 if number == 3 else 0, candidate=5)
        assert court.judge.evidence(court.now).verdict is not Verdict.PROMOTE
    assert court.judge.evidence(court.now).reason is Why.INFRA_CANDIDATE


def test_a_candidate_that_crashes_again_and_again_is_not_promoted_in_between() -> None:
    court = Court()
    for number in range(200):
        court.lose(candidate=10 if number % 12 == 0 else 0)
        assert court.judge.evidence(court.now).verdict is Verdict.HOLD, number


def test_a_candidate_that_loses_one_request_in_a_thousand_is_not_held_for_ever() -> None:
    court = Court()
    for number in range(600):
        court.lose(candidate=1 if number % 9 == 0 else 0, requests=1000)
    assert court.judge.evidence(court.now).verdict is Verdict.PROMOTE


def test_requests_of_both_that_reach_nobody_are_nobodys_fault() -> None:
    court = Court()
    for _ in range(90):
        court.second()
        court.judge.unanswered(court.now, Side.CANDIDATE)
        for _ in range(9):
            court.judge.unanswered(court.now, Side.STABLE)
    assert not court.judge.rolled_back
