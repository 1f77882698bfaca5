"""What a comparison makes of events, counters and disturbances, and that it survives its process."""

from __future__ import annotations

import json
import random
from dataclasses import replace

import pytest

from services.monitor.collector import Increment, Look
from services.monitor.comparison import Comparison
from services.monitor.counters import Tally
from services.monitor.documents import GatewayReport, Placements, RouteDocument, Weighted
from services.monitor.infra_events import Disturbance, Kind
from services.monitor.intake.events import BadEvent
from services.monitor.judge.evidence import Verdict, Why
from services.monitor.judge.kinds import Kind as JudgedKind
from services.monitor.judge.slow import Histogram
from services.monitor.outcomes.model import OutcomeEvent
from services.monitor.requests import NewComparison, Policy
from services.monitor.weights import ModelWeights

START = 1000.0
BOUNDS = (1.0, 5.0, 10.0, 25.0, 50.0)


def weights(candidate: int = 10) -> ModelWeights:
    """Obeyed by the gateway `gw` since long before the start."""
    made = ModelWeights()
    made.see_reports({"gw": GatewayReport(epoch="e", routes_index=9, placements_index=9)}, 0)
    made.see_placements(Placements(versions={"1": ("blue",), "2": ("green",)}), 1, "e", 1)
    versions = (Weighted(version=1, weight=100 - candidate), Weighted(version=2, weight=candidate))
    made.see_route(RouteDocument(versions=versions), 2, "e", 2)
    return made


def comparison(before: Histogram | None = None, **policy: float) -> Comparison:
    wanted = NewComparison(
        name="comparisons/r1", model="models/lin", stable=1, candidate=2, policy=Policy.model_validate(policy)
    )
    return Comparison.begin(wanted, before, START)


def bad(number: int, version: int = 2, **more: object) -> BadEvent:
    event = BadEvent(
        time=START + 10 + number,
        gateway="gw",
        model="lin",
        version=version,
        client=f"client-{number}",
        request_id="",
        grpc_status="INTERNAL",
        http_code=200,
        flags="",
        duration_ms=3.0,
    )
    return replace(event, **more)  # type: ignore[arg-type]


def tell(judged: Comparison, event: BadEvent, known: ModelWeights) -> None:
    """And waits as long as it takes until it is judged."""
    judged.bad(event)
    judged.release(event.time + 0.25, known)


def look(time: float, stable: Tally, candidate: Tally, begin: float | None = None, gateway: str = "gw") -> Look:
    tallies = {("lin", 1): stable, ("lin", 2): candidate}
    increment = Increment(gateway, time - 1 if begin is None else begin, time, tallies)
    return Look(time, (increment,), answered=(gateway,), gateways=frozenset({"gw"}))


def test_failures_of_the_candidate_alone_roll_it_back() -> None:
    judged, known = comparison(), weights()
    needed = 0
    while not judged.rolled_back:
        tell(judged, bad(needed), known)
        needed += 1
        assert needed < 12
    judged.refresh(START + 30)
    assert (judged.evidence.verdict, judged.evidence.reason) == (Verdict.ROLLBACK, Why.BAD_ERRORS)


def test_a_quick_failure_waits_for_less_than_a_third_of_a_second() -> None:
    judged, known = comparison(Histogram(BOUNDS, (0, 900, 1000, 1000, 1000, 1000))), weights()
    judged.bad(bad(0, time=START + 10))
    judged.release(START + 10.15, known)
    assert judged.judge.suspects[JudgedKind.ERRORS].raw == {"stable": 0, "candidate": 0}
    judged.release(START + 10.25, known)
    assert judged.judge.suspects[JudgedKind.ERRORS].raw == {"stable": 0, "candidate": 1}


def test_who_fails_quicker_is_not_judged_first() -> None:
    """A burst of one client to both: the candidate's ends at once, the stable version's began earlier."""
    judged, known = comparison(Histogram((500.0,), (1000, 1000))), weights()
    judged.bad(bad(0, time=START + 10.1, duration_ms=5.0, client="one"))
    judged.release(START + 10.2, known)
    judged.bad(bad(0, time=START + 10.0, duration_ms=500.0, client="one", version=1))
    judged.release(START + 11, known)
    assert judged.judge.suspects[JudgedKind.ERRORS].suspicion.stable_events == 1
    assert judged.judge.suspects[JudgedKind.ERRORS].suspicion.candidate_events == 0


@pytest.mark.parametrize(("mine", "other"), [(5.0, 500.0), (500.0, 5.0)])
@pytest.mark.parametrize(("clients", "rate"), [(1, 20), (10_000, 200)])
def test_a_good_candidate_that_takes_another_time_to_fail_is_not_rolled_back(
    mine: float, other: float, clients: int, rate: int
) -> None:
    """Everything fails for a while, in both alike, from the start on."""
    dice, rolled_back, known = random.Random(5), 0, weights()
    for _ in range(60):
        judged, told = comparison(Histogram((500.0,), (1000, 1000))), []
        for number in range(300):
            candidate, begun = dice.random() < 0.1, START + 5 + number / rate
            event = bad(
                0, time=begun, duration_ms=mine if candidate else other, version=2 if candidate else 1,
                client=f"client-{dice.randrange(clients)}",
            )  # fmt: skip
            told.append((begun + event.duration_ms / 1000, event))
        for now, event in sorted(told, key=lambda each: each[0]):
            judged.release(now, known)
            judged.bad(event)
        judged.release(START + 60, known)
        rolled_back += judged.rolled_back
    assert rolled_back <= 2, rolled_back


def test_failures_of_a_moment_with_unknown_weights_say_nothing() -> None:
    judged, known = comparison(), weights()
    known.see_route(RouteDocument(versions=(Weighted(version=1, weight=1),)), 99, "e", START + 5)
    for number in range(50):
        tell(judged, bad(number), known)
    assert not judged.rolled_back
    assert judged.skipped == 50


@pytest.mark.parametrize(
    "harmless",
    [
        {"version": 3},
        {"time": START - 1},
        {"grpc_status": "INVALID_ARGUMENT"},
        {"grpc_status": "RESOURCE_EXHAUSTED", "answered": False},
        {"grpc_status": "", "http_code": 404},
    ],
)
def test_what_is_not_a_version_s_fault_is_not_held_against_it(harmless: dict[str, object]) -> None:
    judged, known = comparison(), weights()
    for number in range(50):
        tell(judged, bad(number, **harmless), known)
    assert not judged.rolled_back


def test_requests_that_reached_no_node_are_machines_until_they_go_on() -> None:
    judged, known = comparison(), weights()
    for number in range(9):
        tell(judged, bad(number, grpc_status="UNAVAILABLE", flags="UF,URX", answered=False), known)
    judged.refresh(START + 20)
    assert judged.evidence.verdict is Verdict.HOLD
    assert judged.evidence.infra_events == 9
    judged.counted(look(START + 20, Tally(900), Tally(100, 9)), known)
    judged.refresh(START + 20)
    assert judged.evidence.candidate.errors == 9
    assert judged.evidence.suspicions[0].candidate_raw == 0


def test_slowness_is_by_the_threshold_of_the_start() -> None:
    before = Histogram(BOUNDS, (0, 900, 1000, 1000, 1000, 1000))
    judged, known = comparison(before), weights()
    assert judged.judge.slow_ms == 25.0
    for number in range(50):
        tell(judged, bad(number, grpc_status="OK", duration_ms=24.0), known)
    assert not judged.rolled_back
    for number in range(12):
        tell(judged, bad(100 + number, grpc_status="OK", duration_ms=25.0), known)
    judged.refresh(START + 200)
    assert judged.evidence.reason is Why.BAD_SLOW


def test_counts_meet_the_errors_that_were_told() -> None:
    judged, known = comparison(), weights()
    tell(judged, bad(0, version=1), known)
    judged.counted(look(START + 12, Tally(90, 1, {5.0: 90}), Tally(10, 0, {5.0: 0, 10.0: 10})), known)
    judged.refresh(START + 12)
    said = judged.evidence
    assert (said.time, said.declared_share, said.realised_share) == (START + 12, 0.1, 0.1)
    assert (said.stable.requests, said.stable.errors, said.candidate.requests) == (90, 1, 10)
    assert 0 < said.stable.p50_ms <= 5 < said.candidate.p50_ms <= 10


def test_a_second_in_which_weights_changed_counts_but_is_not_compared() -> None:
    judged, known = comparison(), weights()
    known.see_route(
        RouteDocument(versions=(Weighted(version=1, weight=1), Weighted(version=2, weight=1))), 9, "e", 1011
    )
    known.see_reports({"gw": GatewayReport(epoch="e", routes_index=9, placements_index=9)}, 1011.2)
    judged.counted(look(1011.5, Tally(90), Tally(10)), known)
    judged.refresh(1011.5)
    assert (judged.evidence.stable.requests, judged.evidence.declared_share) == (90, 0.0)
    judged.counted(look(1014, Tally(50), Tally(50)), known)
    judged.refresh(1014)
    assert (judged.evidence.stable.requests, judged.evidence.realised_share) == (140, 0.5)


def test_errors_that_nobody_told_count_and_forbid_a_promotion() -> None:
    judged, known = comparison(), weights()
    for second in range(10, 400):
        errors = 2 if second == 395 else 0
        judged.counted(look(START + second, Tally(900), Tally(100, errors)), known)
        judged.refresh(START + second)
        if second == 394:
            assert judged.evidence.verdict is Verdict.PROMOTE
    assert judged.evidence.reason is Why.EVENTS_LOST
    assert judged.evidence.lost_events == 2
    assert judged.evidence.candidate.errors == 2


def test_nothing_is_promoted_while_a_gateway_is_silent() -> None:
    judged, known = comparison(), weights()
    for second in range(10, 400):
        silent = frozenset({"other"} if second > 390 else ())
        judged.counted(replace(look(START + second, Tally(900), Tally(100)), silent=silent), known)
        judged.refresh(START + second)
        assert (judged.evidence.verdict is Verdict.PROMOTE) <= (second <= 390)
    assert judged.evidence.reason is Why.INFRA


def test_a_threshold_between_two_bounds_is_counted_by_the_next() -> None:
    judged, known = comparison(Histogram(BOUNDS, (0, 900, 1000, 1000, 1000, 1000)), slow_ms=20.0), weights()
    for second in range(10, 20):
        slow = {25.0: 0, 50.0: 3 if second == 10 else 0}
        judged.counted(look(START + second, Tally(900), Tally(100, 0, slow)), known)
    judged.refresh(START + 20)
    assert judged.evidence.lost_events == 3


def test_silence_is_no_news() -> None:
    judged, known = comparison(), weights()
    judged.counted(look(START + 10, Tally(900), Tally(100)), known)
    judged.counted(Look(START + 20, gateways=frozenset({"gw"})), known)
    judged.refresh(START + 20)
    assert (judged.evidence.time, judged.evidence.reason) == (START + 10, Why.STALE)


def test_only_the_losses_of_compared_versions_disturb() -> None:
    judged = comparison()
    judged.disturbed(Disturbance(START + 5, Kind.NODE_LOST, "", "lin", 7))
    judged.disturbed(Disturbance(START + 5, Kind.NODE_LOST, "", "other", 2))
    judged.refresh(START + 6)
    assert judged.evidence.infra_events == 0
    judged.disturbed(Disturbance(START + 5, Kind.NODE_LOST, "", "lin", 2))
    judged.disturbed(Disturbance(START + 5, Kind.COUNTERS_RESET, "", gateway="gw"))
    judged.refresh(START + 6)
    assert (judged.evidence.infra_events, judged.evidence.reason) == (2, Why.INFRA)


def label(number: int, wrong_of_candidate: bool = True) -> OutcomeEvent:
    """Every tenth is the candidate's."""
    version = 2 if number % 10 == 9 else 1
    wrong = version == 2 and wrong_of_candidate
    return OutcomeEvent(START + 10 + number, "lin", version, "", f"request-{number}", wrong, sampled=False)


def test_wrong_outcomes_roll_back_also_when_only_the_report_is_known() -> None:
    judged, known = comparison(), weights()
    for number in range(100):
        judged.outcome(label(number), known)
    judged.refresh(START + 120)
    assert judged.evidence.reason is Why.BAD_OUTCOMES
    assert judged.evidence.candidate.wrong == 10


def test_outcomes_of_the_candidate_alone_hold() -> None:
    judged, known = comparison(), weights()
    judged.counted(look(START + 10, Tally(900), Tally(100)), known)
    for number in range(9, 1000, 10):
        judged.outcome(label(number), known)
    assert not judged.rolled_back
    judged.counted(look(START + 11, Tally(9000), Tally(1000)), known)
    judged.refresh(START + 11)
    assert (judged.evidence.verdict, judged.evidence.candidate.wrong) == (Verdict.HOLD, 100)
    assert judged.judge.labels.one_sided


def test_a_late_report_is_judged_by_the_largest_share_that_there_was() -> None:
    judged, known = comparison(), weights(90)
    judged.counted(look(START + 10, Tally(100), Tally(900)), known)
    later = weights(10)
    for number in range(100):  # as they came of nine tenths of the requests
        judged.outcome(OutcomeEvent(START + 99, "lin", 1 + (number % 10 > 0), "", f"r-{number}", True, False), later)
    judged.refresh(START + 100)
    assert not judged.rolled_back
    assert not judged.judge.labels.one_sided


def test_it_goes_on_in_the_next_process() -> None:
    judged, known = comparison(Histogram(BOUNDS, (0, 900, 1000, 1000, 1000, 1000))), weights()
    judged.counted(look(START + 12, Tally(90, 0, {5.0: 90}), Tally(10, 0, {5.0: 10})), known)
    for number in range(3):
        tell(judged, bad(number), known)
    judged.refresh(START + 20)
    restored = Comparison.from_json(json.loads(json.dumps(judged.to_json())))
    restored.refresh(START + 20)
    assert restored.evidence == judged.evidence
    assert restored.definition == judged.definition
    for number in range(3, 12):
        tell(judged, bad(number), known)
        tell(restored, bad(number), known)
    assert restored.rolled_back
    judged.refresh(START + 30)
    restored.refresh(START + 30)
    assert restored.evidence == judged.evidence


def test_what_another_release_of_the_monitor_wrote_is_judged_anew() -> None:
    judged, known = comparison(Histogram(BOUNDS, (0, 900, 1000, 1000, 1000, 1000))), weights()
    for number in range(3):
        tell(judged, bad(number), known)
    kept = {**judged.to_json(), "judge": '{"format": 99}'}
    restored = Comparison.from_json(kept)
    assert restored.definition == judged.definition
    assert restored.judge.slow_ms == judged.judge.slow_ms > 0
    assert all(suspicion.evidence == pytest.approx(1.0) for suspicion in restored.evidence.suspicions)
    with pytest.raises(ValueError, match="format 99"):
        Comparison.from_json({**kept, "ended": START + 1})


def test_an_ended_one_keeps_its_evidence_and_forgets_who_failed() -> None:
    judged, known = comparison(), weights()
    for number in range(12):
        tell(judged, bad(number), known)
    judged.end(START + 30)
    judged.end(START + 99)
    assert judged.ended == START + 30
    kept = judged.to_json()
    assert "client-" not in json.dumps(kept)
    restored = Comparison.from_json(kept)
    assert (restored.ended, restored.evidence.reason) == (START + 30, Why.BAD_ERRORS)
