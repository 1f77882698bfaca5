"""What callers are told of pipelines, as messages of the contract. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from bmase.trainer.v1 import pipeline_pb2 as pb
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from services.trainer.jobs.report import spec_message
from services.trainer.pipelines.history import Line
from services.trainer.pipelines.plan import Plan
from services.trainer.pipelines.state import STAGES, Phase, Pipeline, to_json

# Enum values are plain ints at run time; the stubs know no type for those that are looked up by name.
STATES: Mapping[Phase, Any] = {phase: pb.Pipeline.State.Value(f"STATE_{phase.name}") for phase in Phase}


def pipeline_message(pipeline: Pipeline, now: float) -> pb.Pipeline:
    """The pipeline; what it waits for goes before what brought it to its stage."""
    version = f"models/{pipeline.model}/versions/{pipeline.version}" if pipeline.version else ""
    deployment = f"models/{pipeline.model}/deployments/{pipeline.version}" if pipeline.deployed else ""
    return pb.Pipeline(
        name=pipeline.name,
        plan=plan_message(pipeline.plan),
        model=f"models/{pipeline.model}",
        state=STATES[pipeline.phase],
        reason=pipeline.reason,
        message=pipeline.waits or pipeline.message,
        stopping=pipeline.stop is not None and not pipeline.final,
        job=f"jobs/{pipeline.job}" if pipeline.job else "",
        version=version,
        release=f"releases/{pipeline.release}" if pipeline.release else "",
        deployment=deployment,
        schedule=f"schedules/{pipeline.schedule}" if pipeline.schedule else "",
        origin=pipeline.origin,
        created_by=pipeline.owner,
        timings=_timings(pipeline, now),
        create_time=stamp(pipeline.created),
        stage_time=stamp(pipeline.since),
        end_time=stamp(pipeline.ended),
        etag=hashlib.sha256(to_json(pipeline).encode()).hexdigest()[:16],
    )


def plan_message(plan: Plan) -> pb.PipelinePlan:
    """What was asked for, with every default of the job written out."""
    return pb.PipelinePlan(job=spec_message(plan.job), no_release=plan.no_release, release_policy=plan.policy)


def event_message(line: Line) -> pb.PipelineEvent:
    """One line of the history."""
    return pb.PipelineEvent(
        number=line.number,
        time=stamp(line.time),
        kind=line.kind.value,
        state=STATES[line.phase],
        reason=line.reason,
        message=line.message,
        actor=line.actor,
    )


def _timings(pipeline: Pipeline, now: float) -> list[pb.StageTiming]:
    spent = dict(pipeline.seconds)
    if not pipeline.final:
        spent[pipeline.phase] = spent.get(pipeline.phase, 0.0) + max(0.0, now - pipeline.since)
    return [pb.StageTiming(state=STATES[stage], duration=_duration(spent[stage])) for stage in STAGES if stage in spent]


def stamp(seconds: float) -> Timestamp | None:
    """Seconds since 1970; None for never."""
    if not seconds:
        return None
    found = Timestamp()
    found.FromMicroseconds(round(seconds * 1_000_000))
    return found


def _duration(seconds: float) -> Duration:
    found = Duration()
    found.FromMicroseconds(round(seconds * 1_000_000))
    return found
