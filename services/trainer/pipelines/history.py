"""What became of a pipeline, as lines that stay. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from services.trainer.jobs.state import CONTROLLER
from services.trainer.pipelines.state import Phase, Pipeline


class Kind(StrEnum):
    """Of a line."""

    CREATED = "created"
    JOB = "job"
    VERSION = "version"
    RELEASE = "release"
    DEPLOYMENT = "deployment"
    STOP = "stop"
    STAGE = "stage"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the history; `phase` is where the pipeline was afterwards."""

    kind: Kind
    time: float
    phase: Phase
    message: str
    reason: str = ""
    actor: str = CONTROLLER
    number: int = 0  # from 1 on


def between(before: Pipeline | None, after: Pipeline, now: float) -> list[Line]:
    """What there is to tell of a change."""
    if before is None:
        return [Line(Kind.CREATED, now, after.phase, after.origin, actor=after.actor)]
    lines = []
    if after.job != before.job:
        lines.append(Line(Kind.JOB, now, after.phase, f"its job is jobs/{after.job}"))
    if after.version != before.version:
        lines.append(Line(Kind.VERSION, now, after.phase, f"version {after.version} of {after.model} is registered"))
    if after.release != before.release:
        lines.append(Line(Kind.RELEASE, now, after.phase, f"its release is releases/{after.release}"))
    if after.deployed and not before.deployed:
        words = f"the first version of {after.model} that is served: it is deployed and gets all of the traffic"
        lines.append(Line(Kind.DEPLOYMENT, now, after.phase, words))
    if after.stop is not None and before.stop is None:
        lines.append(Line(Kind.STOP, now, after.phase, after.stop.message, actor=after.stop.actor))
    if after.phase is not before.phase:
        kind = Kind.ENDED if after.final else Kind.STAGE
        lines.append(Line(kind, now, after.phase, after.message, after.reason, after.actor))
    return lines
