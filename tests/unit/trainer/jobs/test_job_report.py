"""What callers are told: every phase, cause and kind of event has its word in the contract."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from bmase.trainer.v1 import trainer_pb2 as pb

from services.kit.errors import InvalidArgument
from services.trainer.jobs import transitions as tr
from services.trainer.jobs.decide import Wait, Why
from services.trainer.jobs.events import (
    Event,
    Kind,
    LogLine,
    Metrics,
    StateChange,
    Stream,
    between,
    body_from,
    body_json,
)
from services.trainer.jobs.report import CAUSES, OUTCOMES, STATES, event_message, job_message
from services.trainer.jobs.state import Cause, Checkpoint, Phase, Progress, from_json, to_json
from tests.unit.trainer.jobs.jobs import DIGEST, at, job

BODIES = [
    StateChange(Phase.FAILED, "ERROR", "ValueError: ein Wort", "controller", Cause.ERROR),
    Progress(3, 10, 0.3, "epoch 1"),
    Metrics(3, {"loss": 0.5, "accuracy": 0.75}),
    LogLine("hello — 語", 1, Stream.STDERR),
    Checkpoint(10, "s3://b/c/10", DIGEST, 5, 1, 2.5),
]


def test_the_words_of_the_contract_are_all_used() -> None:
    assert set(STATES.values()) == set(pb.Job.State.values()) - {0}
    assert set(CAUSES.values()) == set(pb.Cause.values())
    assert set(OUTCOMES.values()) == set(pb.GateResult.Outcome.values()) - {0}


@pytest.mark.parametrize("phase", Phase)
def test_a_job_of_every_phase_can_be_told(phase: Phase) -> None:
    told = job_message(at(phase), 10.0, revision=7)
    assert (told.name, told.owner, told.state, told.etag) == ("jobs/j1", "ann", STATES[phase], "7")
    assert told.HasField("end_time") == at(phase).final


def test_a_job_that_is_done() -> None:
    told = job_message(at(Phase.SUCCEEDED, checkpoint=True), 10.0)
    assert (told.version, told.model_digest) == ("models/digits/versions/3", DIGEST)
    assert told.gate_results[0].message == "0.95 (0.93 to 0.97)"
    assert [(timing.state, timing.duration.seconds) for timing in told.timings] == [
        (pb.Job.STATE_QUEUED, 1),
        (pb.Job.STATE_PREPARING, 1),
        (pb.Job.STATE_RUNNING, 2),
        (pb.Job.STATE_EVALUATING, 1),
        (pb.Job.STATE_REGISTERING, 1),
    ]
    assert (told.checkpoints[0].step, told.attempts[0].workers, told.attempts[0].from_step) == (10, {"blue": 1}, -1)
    assert (told.start_time.seconds, told.end_time.seconds) == (1, 6)


def test_why_it_waits_now_goes_before_what_was_kept() -> None:
    told = job_message(job(), 10.0, Wait(Why.QUOTA, "waits for others to end"))
    assert (told.reason, told.message) == ("QUOTA", "waits for others to end")


def test_a_job_that_is_being_stopped_shows_it() -> None:
    told = job_message(tr.cancel(at(Phase.RUNNING), 3.0, "ann", "enough"), 4.0)
    assert (told.state, told.stop_cause) == (pb.Job.STATE_RUNNING, pb.CAUSE_CANCELLED)


@pytest.mark.parametrize("body", BODIES, ids=lambda body: type(body).__name__)
def test_events_are_kept_and_told(body: object) -> None:
    event = Event(1.5, 2, body, 9)  # type: ignore[arg-type]
    assert body_from(event.kind, body_json(event)) == body
    told = event_message(event)
    assert (told.offset, told.attempt, told.time.ToMilliseconds()) == (9, 2, 1500)
    assert told.WhichOneof("event") == event.kind.value


def test_a_loss_that_runs_away_is_told() -> None:
    event = Event(0.0, 1, Metrics(1, {"loss": math.inf, "rate": math.nan}))
    body = body_from(Kind.METRICS, body_json(event))
    assert isinstance(body, Metrics)
    assert (body.values["loss"], math.isnan(body.values["rate"])) == (math.inf, True)
    assert event_message(event).metrics.values["loss"] == math.inf
    away = tr.progressed(at(Phase.RUNNING), 1, Progress(1, epoch=math.nan))
    assert from_json("j1", to_json(away)) == away


@pytest.mark.parametrize(
    ("step", "values"),
    [(-1, {}), (2**63, {}), (1, {"": 1.0}), (1, {"-x": 1.0}), (1, {f"m{n}": 1.0 for n in range(257)})],
)
def test_metrics_have_bounds(step: int, values: dict[str, float]) -> None:
    with pytest.raises(InvalidArgument):
        Metrics(step, values)


def test_every_kind_has_its_body() -> None:
    assert {Event(0.0, 0, body).kind for body in BODIES} == set(Kind)  # type: ignore[arg-type]


def test_what_is_no_text_hurts_nobody() -> None:
    assert body_from(Kind.LOG, body_json(Event(0.0, 1, LogLine("a\udcffb")))) == LogLine("a?b")
    failed = tr.failed(at(Phase.RUNNING), 1, 3.0, Cause.ERROR, "bad \udcff" + "x" * 9000)
    assert from_json("j1", to_json(failed)) == failed
    assert (failed.message[:5], len(failed.message), failed.attempts[-1].message) == ("bad ?", 4000, failed.message)
    told = tr.progressed(at(Phase.RUNNING), 1, Progress(1, message="x" * 300)).progress.message
    assert len(told) == 200


def test_a_line_without_end_is_cut() -> None:
    body = body_from(Kind.LOG, body_json(Event(0.0, 1, LogLine("x" * 5000))))
    assert isinstance(body, LogLine)
    assert (len(body.text), body.text[-1]) == (4000, "…")


def test_changes_are_told_as_what_they_were() -> None:
    assert [event.kind for event in between(None, job(), 1.0)] == [Kind.STATE]
    running = at(Phase.RUNNING)
    assert between(running, running, 1.0) == []
    moved = tr.progressed(running, 1, Progress(4, 10))
    moved = tr.checkpointed(moved, 1, Checkpoint(4, "file:///c"))
    assert [event.kind for event in between(running, moved, 1.0)] == [Kind.PROGRESS, Kind.CHECKPOINT]
    [stop] = between(running, tr.cancel(running, 1.0, "ann", "enough"), 1.0)
    assert stop.body == StateChange(Phase.RUNNING, "STOPPING_CANCELLED", "enough", "ann", Cause.CANCELLED)
    [lost] = between(running, tr.lost(running, 1, 1.0, Cause.NODE_LOST, "gone"), 1.0)
    assert lost.body == StateChange(Phase.RESUMING, "NODE_LOST", "gone", "controller", Cause.NODE_LOST)
    assert (lost.attempt, replace(lost, body=Progress()).kind) == (1, Kind.PROGRESS)
