"""Every transition from every phase: where it leads, or that it is refused."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

import pytest
from bmase.reasons import Reason
from hypothesis import given
from hypothesis import strategies as st

from services.kit.errors import DomainError
from services.trainer.jobs import transitions as tr
from services.trainer.jobs.state import (
    ACTIVE,
    FINAL,
    LOSSES,
    NEXT,
    STOPS,
    WAITING,
    Cause,
    Checkpoint,
    GateResult,
    Job,
    Outcome,
    Phase,
    Progress,
    from_json,
    to_json,
)
from tests.unit.trainer.jobs.jobs import DIGEST, at, job

NOW = 9.0
P = Phase
Call = Callable[[Job], Job]

CALLS: dict[str, Call] = {
    "begin": lambda job: tr.begin(job, NOW, {"blue": 1}),
    "prepared": lambda job: tr.prepared(job, 1, NOW),
    "progressed": lambda job: tr.progressed(job, 1, Progress(5)),
    "checkpointed": lambda job: tr.checkpointed(job, 1, Checkpoint(20, "file:///c/20")),
    "trained": lambda job: tr.trained(job, 1, NOW, DIGEST),
    "evaluated": lambda job: tr.evaluated(job, 1, NOW, []),
    "concluded": lambda job: tr.concluded(job, 1, NOW, [], "it is identical"),
    "committed": lambda job: tr.committed(job, 1, NOW, 2),
    "registered": lambda job: tr.registered(job, 1, NOW, 3),
    "failed": lambda job: tr.failed(job, 1, NOW, Cause.ERROR, "no"),
    "lost": lambda job: tr.lost(job, 1, NOW, Cause.WORKER_LOST, "killed"),
    "cancel": lambda job: tr.cancel(job, NOW, "ann", ""),
    "time limit": lambda job: tr.stop(job, NOW, Cause.TIME_LIMIT, "too long"),
    "stopped": lambda job: tr.stopped(job, 1, NOW),
}
# transition -> phase before -> phase after; every pair that is not here is refused.
TABLE: dict[str, dict[Phase, Phase]] = {
    "begin": {P.QUEUED: P.PREPARING, P.RESUMING: P.PREPARING},
    "prepared": {P.PREPARING: P.RUNNING},
    "progressed": {P.RUNNING: P.RUNNING, P.EVALUATING: P.EVALUATING},
    "checkpointed": {P.RUNNING: P.RUNNING},
    "trained": {P.RUNNING: P.EVALUATING},
    "evaluated": {P.EVALUATING: P.REGISTERING},
    "concluded": {P.EVALUATING: P.SUCCEEDED},
    "committed": {P.REGISTERING: P.REGISTERING},
    "registered": {P.REGISTERING: P.SUCCEEDED},
    "failed": dict.fromkeys(ACTIVE, P.FAILED),
    "lost": dict.fromkeys(ACTIVE, P.RESUMING) | {P.PREPARING: P.QUEUED},
    "cancel": {phase: phase for phase in ACTIVE} | dict.fromkeys(WAITING | {P.CANCELLED}, P.CANCELLED),
    "time limit": {phase: phase for phase in ACTIVE} | dict.fromkeys(WAITING, P.FAILED),
    "stopped": {},
}


@pytest.mark.parametrize("phase", Phase)
@pytest.mark.parametrize("name", CALLS)
def test_the_table_of_transitions(name: str, phase: Phase) -> None:
    before = at(phase)
    expected = TABLE[name].get(phase)
    if expected is None:
        with pytest.raises((tr.IllegalMove, DomainError)):
            CALLS[name](before)
        return
    after = CALLS[name](before)
    assert after.phase is expected
    assert after.phase is before.phase or after.phase in NEXT[before.phase]


@pytest.mark.parametrize("phase", sorted(ACTIVE))
@pytest.mark.parametrize(("cause", "end"), [(Cause.CANCELLED, P.CANCELLED), (Cause.TIME_LIMIT, P.FAILED)])
def test_a_job_that_is_to_stop_ends_however_its_processes_do(phase: Phase, cause: Cause, end: Phase) -> None:
    asked = tr.stop(at(phase), NOW, cause, "enough", "ann")
    assert (asked.phase, asked.stop and asked.stop.cause) == (phase, cause)
    assert tr.stop(asked, NOW + 1, Cause.CANCELLED, "again") == asked, "the first wish counts"
    for name in ("stopped", "failed", "lost"):
        ended = CALLS[name](asked)
        assert (ended.phase, ended.cause, ended.message, ended.actor, ended.stop) == (end, cause, "enough", "ann", None)
        assert ended.attempts[-1].cause is cause


@pytest.mark.parametrize("cause", sorted(STOPS))
def test_who_is_to_stop_asks_for_no_version(cause: Cause) -> None:
    stopped = tr.committed(tr.stop(at(P.REGISTERING), NOW, cause, "enough"), 1, NOW, 2)
    assert (stopped.final, stopped.cause, stopped.committed) == (True, cause, False)


def test_nothing_stops_a_job_whose_version_may_be_there() -> None:
    """Not in its attempt, nor while it waits for another, nor in that."""
    asked = tr.committed(at(P.REGISTERING), 1, NOW, 2)
    waits = tr.lost(asked, 1, NOW, Cause.TRAINER_LOST, "killed")
    again = tr.begin(waits, NOW, {"blue": 1})
    for each in (asked, waits, again, tr.prepared(again, 2, NOW)):
        with pytest.raises(DomainError) as refused:
            tr.cancel(each, NOW, "ann", "")
        assert refused.value.reason is Reason.JOB_COMMITTED
        with pytest.raises(tr.IllegalMove):
            tr.stop(each, NOW, Cause.TIME_LIMIT, "too long")
    assert tr.committed(tr.prepared(again, 2, NOW), 2, NOW, 5).parent == 2, "asked again, it asks for the same"


def test_a_version_that_may_be_there_is_spoken_of_when_the_job_is_given_up() -> None:
    running = tr.committed(at(P.REGISTERING), 1, NOW, 0)
    lost = _losses(running, tr.MAX_FRUITLESS, checkpoints=False)
    assert lost.cause is Cause.LOST_TOO_OFTEN
    assert "the registry was asked for its version" in lost.message


@pytest.mark.parametrize("phase", sorted(FINAL))
def test_what_has_ended_stays(phase: Phase) -> None:
    assert NEXT[phase] == frozenset()
    if phase is P.CANCELLED:
        assert tr.cancel(at(phase), NOW, "bob", "why") == at(phase)
        return
    with pytest.raises(DomainError) as refused:
        tr.cancel(at(phase), NOW, "bob", "why")
    assert refused.value.reason is Reason.JOB_ENDED


@pytest.mark.parametrize("name", sorted(set(CALLS) - {"begin", "cancel", "time limit"}))
def test_an_attempt_that_was_given_up_has_no_say(name: str) -> None:
    again = tr.prepared(tr.begin(at(P.RESUMING), NOW, {"green": 1}), 2, NOW)
    with pytest.raises(tr.StaleAttempt):
        CALLS[name](again)


@pytest.mark.parametrize("stage", [P.RUNNING, P.EVALUATING, P.REGISTERING])
def test_another_attempt_goes_on_at_the_stage_that_was_reached(stage: Phase) -> None:
    lost = tr.lost(at(stage, checkpoint=True), 1, NOW, Cause.NODE_LOST, "gone")
    again = tr.begin(lost, NOW + 5, {"green": 1})
    assert again.attempts[-1].from_step == 10
    assert tr.prepared(again, 2, NOW + 6).phase is stage
    lost_again = tr.lost(again, 2, NOW + 6, Cause.NODE_LOST, "gone")
    assert lost_again.phase is P.RESUMING, "something was done, though not by this attempt"


def test_a_gate_that_fails_keeps_the_version_and_fails_the_job() -> None:
    ended = tr.registered(at(P.REGISTERING, gate=Outcome.FAILED), 1, NOW, 7)
    assert (ended.phase, ended.cause, ended.version) == (P.FAILED, Cause.GATE_FAILED, 7)
    assert "accuracy >= 0.9: 0.95 (0.93 to 0.97)" in ended.message
    assert ended.attempts[-1].cause is Cause.NONE, "the attempt did its work"
    assert tr.registered(at(P.REGISTERING, gate=Outcome.NOT_APPLICABLE), 1, NOW, 7).phase is P.SUCCEEDED


def _losses(running: Job, count: int, *, checkpoints: bool) -> Job:
    for number in range(1, count + 1):
        if checkpoints:
            running = tr.checkpointed(running, number, Checkpoint(number, f"file:///c/{number}"))
        running = tr.lost(running, number, NOW, Cause.WORKER_LOST, "killed")
        if number < count:
            running = tr.prepared(tr.begin(running, NOW, {"blue": 1}), number + 1, NOW)
    return running


def test_losses_without_progress_end_the_job_and_others_do_not() -> None:
    hopeless = _losses(at(P.RUNNING), tr.MAX_FRUITLESS, checkpoints=False)
    assert (hopeless.phase, hopeless.cause) == (P.FAILED, Cause.LOST_TOO_OFTEN)
    assert _losses(at(P.RUNNING), tr.MAX_FRUITLESS - 1, checkpoints=False).phase is P.RESUMING
    assert _losses(at(P.RUNNING), 3 * tr.MAX_FRUITLESS, checkpoints=True).phase is P.RESUMING


def test_the_same_checkpoint_again_is_no_progress() -> None:
    running = at(P.RUNNING, checkpoint=True)
    for number in range(1, tr.MAX_FRUITLESS + 1):
        running = tr.checkpointed(running, number, Checkpoint(10, "file:///c/10"))
        running = tr.lost(running, number, NOW, Cause.WORKER_LOST, "killed")
        if running.final:
            break
        running = tr.prepared(tr.begin(running, NOW, {"blue": 1}), number + 1, NOW)
    assert running.cause is Cause.LOST_TOO_OFTEN


def test_the_pause_grows_with_losses_in_a_row() -> None:
    pauses = [_losses(at(P.RUNNING), count, checkpoints=False).ready - NOW for count in range(1, tr.MAX_FRUITLESS)]
    assert pauses == [1.0, 2.0, 4.0, 8.0]


def test_what_would_happen_again_is_no_loss() -> None:
    for cause in set(Cause) - LOSSES:
        with pytest.raises(tr.IllegalMove):
            tr.lost(at(P.RUNNING), 1, NOW, cause, "no")
    for cause in set(Cause) - STOPS:
        with pytest.raises(tr.IllegalMove):
            tr.stop(at(P.RUNNING), NOW, cause, "no")


def test_the_last_checkpoints_are_listed_and_older_ones_leave() -> None:
    running = at(P.RUNNING)
    for step in (10, 20, 30, 40, 30):
        running = tr.checkpointed(running, 1, Checkpoint(step, f"file:///c/{step}"))
    assert [checkpoint.step for checkpoint in running.checkpoints] == [20, 30]
    assert running.checkpoints[-1].attempt == 1


def test_times_add_up() -> None:
    done = at(P.SUCCEEDED)
    assert done.seconds == {P.QUEUED: 1, P.PREPARING: 1, P.RUNNING: 2, P.EVALUATING: 1, P.REGISTERING: 1}
    assert (done.spent, done.spent_at(100.0), done.started, done.ended) == (5.0, 5.0, 1.0, 6.0)
    running = at(P.RUNNING)
    assert (running.spent_at(4.0), running.seconds_at(4.0)[P.RUNNING]) == (3.0, 2.0)
    again = tr.begin(at(P.RESUMING), 10.0, {"blue": 1})
    assert again.spent_at(11.0) == 3.0, "waiting does not count"


def test_a_long_history_is_shortened_and_time_is_not() -> None:
    running = at(P.RUNNING)
    for number in range(1, 81):
        running = tr.checkpointed(running, number, Checkpoint(number, "file:///c"))
        running = tr.lost(running, number, 2.0 * number, Cause.WORKER_LOST, "killed")
        running = tr.prepared(tr.begin(running, 2.0 * number + 1, {"blue": 1}), number + 1, 2.0 * number + 1)
    numbers = [attempt.number for attempt in running.attempts]
    assert numbers == [*range(1, 11), *range(42, 82)]
    assert running.spent == 80.0


@pytest.mark.parametrize("phase", Phase)
def test_a_job_comes_back_as_it_was_kept(phase: Phase) -> None:
    kept = replace(at(phase), message="ein Wort — 語", progress=Progress(1, 2, 0.5, "half"))
    assert from_json("j1", to_json(kept)) == kept
    assert from_json("j1", to_json(tr.stop(at(P.RUNNING), NOW, Cause.CANCELLED, "x", "ann"))).stop is not None


@given(st.text())
def test_what_is_no_job_is_said_to_be_unreadable(text: str) -> None:
    with pytest.raises(DomainError, match="another version"):
        from_json("j1", text)


def _calls(chance: random.Random, attempt: int, now: float) -> list[Call]:
    """Everything that may happen next, and what ends a job not so often."""
    calls: list[Call] = [
        lambda job: tr.begin(job, now, {"blue": 1}),
        lambda job: tr.prepared(job, attempt, now),
        lambda job: tr.checkpointed(job, attempt, Checkpoint(int(now * 10), "file:///c")),
        lambda job: tr.trained(job, attempt, now, DIGEST),
        lambda job: tr.evaluated(job, attempt, now, [GateResult("g", chance.choice(list(Outcome)))]),
        lambda job: tr.committed(job, attempt, now, 0),
        lambda job: tr.registered(job, attempt, now, 1),
        lambda job: tr.lost(job, attempt, now, Cause.TRAINER_LOST, "x"),
    ]
    if chance.random() < 0.1:
        calls.append(lambda job: tr.failed(job, attempt, now, Cause.OUT_OF_MEMORY, "x"))
        calls.append(lambda job: tr.stop(job, now, Cause.CANCELLED, "x"))
    return calls


@given(st.integers(0, 2**32))
def test_any_walk_stays_in_the_table_and_keeps_its_invariants(seed: int) -> None:
    chance, now, here = random.Random(seed), 0.0, job()
    for _ in range(40):
        now += chance.random()
        attempt = here.attempts[-1].number if here.attempts else 1
        try:
            after = chance.choice(_calls(chance, attempt, now))(here)
        except tr.IllegalMove:
            continue
        assert after.phase is here.phase or after.phase in NEXT[here.phase]
        assert [a for a in after.attempts if not a.ended] == ([after.attempt] if after.attempt else [])
        assert after.final == bool(after.ended)
        assert not (after.stop and not after.active)
        assert not (after.committed and (after.stop or after.cause is Cause.CANCELLED))
        assert sum(after.seconds_at(now).values()) == pytest.approx(now)
        here = after
        if here.final:
            return


@pytest.mark.parametrize(
    ("outcome", "phase", "cause"),
    [(Outcome.PASSED, P.SUCCEEDED, Cause.NONE), (Outcome.FAILED, P.FAILED, Cause.GATE_FAILED)],
)
def test_a_verdict_ends_a_job_without_a_version(outcome: Outcome, phase: Phase, cause: Cause) -> None:
    gates = [GateResult("reproduces digits@3", outcome, "it is identical")]
    ended = tr.concluded(at(P.EVALUATING), 1, NOW, gates, "it is identical")
    assert (ended.phase, ended.cause, ended.version, ended.message) == (phase, cause, 0, "it is identical")
    assert ended.gates == tuple(gates)
