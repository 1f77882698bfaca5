"""What callers are told of schedules, as messages of the contract. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from bmase.trainer.v1 import schedule_pb2 as pb
from google.protobuf.duration_pb2 import Duration

from services.trainer.pipelines.report import plan_message, stamp
from services.trainer.schedules.decide import next_times, standing
from services.trainer.schedules.observation import Seen
from services.trainer.schedules.spec import CatchUp, CronTrigger, DataTrigger, DriftTrigger, Overlap
from services.trainer.schedules.state import Fire, Outcome, Schedule

# Enum values are plain ints at run time; the stubs know no type for those that are looked up by name.
_OVERLAPS: Mapping[Overlap, Any] = {each: pb.Schedule.Overlap.Value(f"OVERLAP_{each.name}") for each in Overlap}
_CATCH_UPS: Mapping[CatchUp, Any] = {each: pb.CronTrigger.CatchUp.Value(f"CATCH_UP_{each.name}") for each in CatchUp}
_OUTCOMES: Mapping[Outcome, Any] = {each: pb.ScheduleFire.Outcome.Value(f"OUTCOME_{each.name}") for each in Outcome}


def schedule_message(schedule: Schedule, seen: Seen) -> pb.Schedule:
    """The schedule, and what it waits for at this moment."""
    message = pb.Schedule(
        name=schedule.name,
        plan=plan_message(schedule.spec.plan),
        overlap=_OVERLAPS[schedule.spec.overlap],
        paused=schedule.paused,
        model=f"models/{schedule.model}",
        message=standing(schedule, seen),
        created_by=schedule.owner,
        paused_by=schedule.paused_by,
        next_times=[moment for due in next_times(schedule, seen.now) if (moment := stamp(due))],
        active_pipelines=[f"pipelines/{id}" for id in seen.running.get(schedule.id, ())],
        queue=[occasion.why for occasion in schedule.queue],
        create_time=stamp(schedule.created),
        etag=etag(schedule),
    )
    _trigger(schedule, message)
    return message


def etag(schedule: Schedule) -> str:
    """Of what people say about it; not of what it has fired, which changes all the time."""
    said = f"{schedule.spec.model_dump_json()}\n{schedule.paused}\n{schedule.created!r}"
    return hashlib.sha256(said.encode()).hexdigest()[:16]


def fire_message(fire: Fire) -> pb.ScheduleFire:
    """One occasion and what became of it."""
    return pb.ScheduleFire(
        key=fire.key,
        due_time=stamp(fire.due),
        time=stamp(fire.time),
        outcome=_OUTCOMES[fire.outcome],
        pipeline=f"pipelines/{fire.pipeline}" if fire.pipeline else "",
        message=fire.sentence,
    )


def _trigger(schedule: Schedule, message: pb.Schedule) -> None:
    match schedule.spec.trigger:
        case CronTrigger() as cron:
            message.cron.expression, message.cron.zone, message.cron.limit = cron.expression, cron.zone, cron.limit
            message.cron.jitter.CopyFrom(_duration(cron.jitter))
            message.cron.catch_up = _CATCH_UPS[cron.catch_up]
        case DataTrigger() as data:
            message.data.settle.CopyFrom(_duration(data.settle))
        case DriftTrigger() as drift:
            message.drift.version = drift.version
            message.drift.kinds.extend(drift.kinds)
            message.drift.cool_down.CopyFrom(_duration(drift.cool_down))
        case _:
            message.manual.SetInParent()


def _duration(seconds: float) -> Duration:
    found = Duration()
    found.FromMicroseconds(round(seconds * 1_000_000))
    return found
