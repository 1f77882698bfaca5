"""What a job did and said, as lines of its journal. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from pydantic import ConfigDict, TypeAdapter

from services.kit.errors import InvalidArgument, Violation
from services.trainer.jobs.state import Cause, Checkpoint, Job, Phase, Progress, legible

LONGEST_LINE = 4000
MAX_VALUES = 256
METRIC_RULE = "must be 1 to 63 of A-Z, a-z, 0-9, '.', '_', '/', '-', '@', and begin with a letter or digit"
_METRIC = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/@-]{0,62}")
TRAINER = -1  # of `LogLine.worker`


def is_metric(name: str) -> bool:
    """Whether a series can have the name: as a version's metrics may be named."""
    return _METRIC.fullmatch(name) is not None


class Kind(StrEnum):
    """Of an event (`WatchJobRequest.Kind`)."""

    STATE = "state"
    PROGRESS = "progress"
    METRICS = "metrics"
    LOG = "log"
    CHECKPOINT = "checkpoint"


# Told so often that only the latest are kept.
CHATTER = frozenset({Kind.PROGRESS, Kind.METRICS, Kind.LOG})


class Stream(StrEnum):
    STDOUT = "stdout"
    STDERR = "stderr"


@dataclass(frozen=True, slots=True)
class StateChange:
    phase: Phase
    reason: str = ""
    message: str = ""
    actor: str = ""
    cause: Cause = Cause.NONE


@dataclass(frozen=True)
class Metrics:
    """Values that were reported together; also those that are not finite, as a loss that has run away.

    InvalidArgument for names that no series can have, for too many values, and for steps that are none.
    """

    __pydantic_config__ = ConfigDict(ser_json_inf_nan="constants")

    step: int
    values: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        broken = [Violation(f'metrics["{name[:63]}"]', METRIC_RULE) for name in self.values if not is_metric(name)]
        if len(self.values) > MAX_VALUES:
            broken.append(Violation("metrics", f"must be at most {MAX_VALUES} at once"))
        if not 0 <= self.step < 2**63:
            broken.append(Violation("step", "must be from 0 to 2^63 - 1"))
        if broken:
            raise InvalidArgument(broken)


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line without its end; `worker` is its rank."""

    text: str
    worker: int = TRAINER
    stream: Stream = Stream.STDOUT


Body = StateChange | Progress | Metrics | LogLine | Checkpoint

_KINDS: dict[type, Kind] = {
    StateChange: Kind.STATE,
    Progress: Kind.PROGRESS,
    Metrics: Kind.METRICS,
    LogLine: Kind.LOG,
    Checkpoint: Kind.CHECKPOINT,
}
_ADAPTERS: dict[Kind, TypeAdapter[Any]] = {kind: TypeAdapter(body) for body, kind in _KINDS.items()}


@dataclass(frozen=True, slots=True)
class Event:
    """One line of a job's journal. `offset` is given when it is kept."""

    time: float
    attempt: int
    body: Body
    offset: int = 0

    @property
    def kind(self) -> Kind:
        return _KINDS[type(self.body)]


def body_json(event: Event) -> str:
    """The body as it is stored; a line that is too long is cut, and what is no text in it is a question mark."""
    body = event.body
    if isinstance(body, LogLine):
        body = LogLine(legible(body.text, LONGEST_LINE), body.worker, body.stream)
    return _ADAPTERS[event.kind].dump_json(body).decode()


def body_from(kind: Kind, document: str) -> Body:
    """The body that was stored."""
    body: Body = _ADAPTERS[kind].validate_json(document)
    return body


def between(before: Job | None, after: Job, now: float) -> list[Event]:
    """What a change of the job is to be told as; in the order in which it is to be read."""
    attempt = after.attempts[-1].number if after.attempts else 0
    told: list[Body] = []
    if before is None or before.progress != after.progress:
        told += [] if after.progress == Progress() else [after.progress]
    known = before.checkpoints if before else ()
    told += [checkpoint for checkpoint in after.checkpoints if checkpoint not in known]
    if before is None or before.phase is not after.phase:
        told.append(StateChange(after.phase, after.reason, after.message, after.actor, after.cause))
    elif before.stop is None and after.stop is not None:
        stop = after.stop
        told.append(StateChange(after.phase, f"STOPPING_{stop.cause.name}", stop.message, stop.actor, stop.cause))
    return [Event(now, attempt, body) for body in told]
