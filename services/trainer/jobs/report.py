"""What callers are told of jobs, as messages of the contract. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bmase.trainer.v1 import trainer_pb2 as pb
from google.protobuf.duration_pb2 import Duration
from google.protobuf.json_format import ParseDict
from google.protobuf.struct_pb2 import Value
from google.protobuf.timestamp_pb2 import Timestamp

from services.trainer.jobs.decide import Wait
from services.trainer.jobs.events import Event, LogLine, Metrics, StateChange, Stream
from services.trainer.jobs.journal import Point
from services.trainer.jobs.spec import DataSource, Resources, Spec, Split
from services.trainer.jobs.state import Attempt, Cause, Checkpoint, GateResult, Job, Outcome, Phase, Progress

# Enum values are plain ints at run time; the stubs know no type for those that are looked up by name.
STATES: Mapping[Phase, Any] = {phase: pb.Job.State.Value(f"STATE_{phase.name}") for phase in Phase}
CAUSES: Mapping[Cause, Any] = {
    cause: pb.Cause.Value(f"CAUSE_{cause.name}") if cause.value else pb.CAUSE_UNSPECIFIED for cause in Cause
}
OUTCOMES = {
    Outcome.PASSED: pb.GateResult.OUTCOME_PASSED,
    Outcome.FAILED: pb.GateResult.OUTCOME_FAILED,
    Outcome.NOT_APPLICABLE: pb.GateResult.OUTCOME_NOT_APPLICABLE,
}
_STREAMS = {Stream.STDOUT: pb.LogLine.STREAM_STDOUT, Stream.STDERR: pb.LogLine.STREAM_STDERR}
_TIMES = {"create_time": "created", "start_time": "started", "end_time": "ended"}


def job_message(job: Job, now: float, wait: Wait | None = None, revision: int = 0) -> pb.Job:
    """The job; why it waits at this moment goes before what was kept."""
    message = spec_message(job.spec)
    message.name, message.owner = job.name, job.owner
    message.state = STATES[job.phase]
    message.reason = wait.why.value if wait else job.reason
    message.message = wait.sentence if wait else job.message
    message.cause = CAUSES[job.cause]
    message.stop_cause = CAUSES[job.stop.cause if job.stop else Cause.NONE]
    if job.progress != Progress():
        message.progress.CopyFrom(_progress(job.progress))
    message.attempts.extend(_attempt(attempt) for attempt in job.attempts)
    message.checkpoints.extend(_checkpoint(checkpoint) for checkpoint in job.checkpoints)
    message.gate_results.extend(_gate(result) for result in job.gates)
    message.timings.extend(_timings(job, now))
    message.model_digest = job.product
    message.version = f"models/{job.model}/versions/{job.version}" if job.version else ""
    for name, at in _TIMES.items():
        if seconds := getattr(job, at):
            getattr(message, name).CopyFrom(_stamp(seconds))
    message.etag = str(revision) if revision else ""
    return message


def spec_message(spec: Spec) -> pb.Job:
    """What was asked for, with every default written out."""
    message = pb.Job(
        model=str(spec.model),
        data=[_source(source) for source in spec.data],
        split=_split(spec.split),
        parameters={key: _value(value) for key, value in spec.parameters.items()},
        seed=spec.seed,
        resources=_resources(spec.resources),
        environment_digest=spec.environment_digest or "",
        gates=spec.gates,
        labels=spec.labels,
        priority=spec.priority,
        owner=spec.owner,
    )
    if spec.bundle is None:
        message.recipe = spec.recipe
    else:
        message.bundle.digest, message.bundle.entry_point = spec.bundle.digest, spec.bundle.entry_point
    return message


def event_message(event: Event) -> pb.JobEvent:
    """One line of the journal."""
    message = pb.JobEvent(offset=event.offset, time=_stamp(event.time), attempt=event.attempt)
    match event.body:
        case StateChange() as change:
            message.state.CopyFrom(_change(change))
        case Progress() as progress:
            message.progress.CopyFrom(_progress(progress))
        case Metrics() as metrics:
            message.metrics.CopyFrom(pb.Metrics(step=metrics.step, values=metrics.values))
        case LogLine() as line:
            message.log.CopyFrom(pb.LogLine(worker=line.worker, stream=_STREAMS[line.stream], text=line.text))
        case Checkpoint() as checkpoint:
            message.checkpoint.CopyFrom(_checkpoint(checkpoint))
    return message


def point_message(point: Point) -> pb.MetricPoint:
    """One value of one series."""
    return pb.MetricPoint(metric=point.metric, step=point.step, value=point.value, time=_stamp(point.time))


def _source(source: DataSource) -> pb.DataSource:
    return pb.DataSource(name=source.name, uris=source.uris, snapshot=source.snapshot)


def _split(split: Split) -> pb.SplitPolicy:
    return pb.SplitPolicy(validation=split.validation, test=split.test, salt=split.salt, key=split.key, none=split.none)


def _resources(resources: Resources) -> pb.Resources:
    return pb.Resources(
        workers=resources.workers,
        cpus=resources.cpus,
        memory_bytes=resources.memory_bytes,
        gpus=resources.gpus,
        time_limit=_duration(resources.time_limit),
    )


def _value(value: Any) -> Value:
    return ParseDict(value, Value())


def _progress(progress: Progress) -> pb.Progress:
    return pb.Progress(step=progress.step, total_steps=progress.total, epoch=progress.epoch, message=progress.message)


def _attempt(attempt: Attempt) -> pb.Attempt:
    return pb.Attempt(
        number=attempt.number,
        start_time=_stamp(attempt.started),
        end_time=_stamp(attempt.ended) if attempt.ended else None,
        from_step=attempt.from_step,
        cause=CAUSES[attempt.cause],
        message=attempt.message,
        workers=attempt.workers,
    )


def _checkpoint(checkpoint: Checkpoint) -> pb.Checkpoint:
    return pb.Checkpoint(
        step=checkpoint.step,
        uri=checkpoint.uri,
        digest=checkpoint.digest,
        size_bytes=checkpoint.size,
        attempt=checkpoint.attempt,
        time=_stamp(checkpoint.time),
    )


def _gate(result: GateResult) -> pb.GateResult:
    return pb.GateResult(gate=result.gate, outcome=OUTCOMES[result.outcome], message=result.message)


def _timings(job: Job, now: float) -> list[pb.Timing]:
    spent = job.seconds_at(now)
    return [pb.Timing(state=STATES[p], duration=_duration(spent[p])) for p in Phase if p in spent]


def _change(change: StateChange) -> pb.StateChange:
    return pb.StateChange(
        state=STATES[change.phase],
        reason=change.reason,
        message=change.message,
        actor=change.actor,
        cause=CAUSES[change.cause],
    )


def _stamp(seconds: float) -> Timestamp:
    stamp = Timestamp()
    stamp.FromMicroseconds(round(seconds * 1_000_000))
    return stamp


def _duration(seconds: float) -> Duration:
    found = Duration()
    found.FromMicroseconds(round(seconds * 1_000_000))
    return found
