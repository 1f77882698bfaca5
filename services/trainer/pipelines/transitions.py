"""The only ways in which a pipeline changes. Pure: from the pipeline before to the pipeline after."""

from __future__ import annotations

from dataclasses import replace

from bmase.reasons import Reason

from services.kit.errors import DomainError
from services.trainer.jobs.state import CONTROLLER, legible
from services.trainer.pipelines.plan import Plan
from services.trainer.pipelines.state import FINAL, NEXT, STAGES, Phase, Pipeline, Stop

LONGEST_WAIT = 500


class IllegalMove(ValueError):  # noqa: N818 - named after what it is
    """The pipeline's phase does not allow it: a defect of the caller, or a race that another change has won."""


def start(id: str, plan: Plan, owner: str, now: float, *, origin: str, schedule: str = "", fire: str = "") -> Pipeline:
    """A new one: its job is still to be created."""
    return Pipeline(id, plan, owner, now, schedule, fire, origin, since=now, message=origin, actor=owner or CONTROLLER)


def advanced(pipeline: Pipeline, phase: Phase, now: float, message: str) -> Pipeline:
    """To the next stage."""
    if phase not in STAGES:
        raise IllegalMove(f"{phase.value} is no stage")
    return _to(pipeline, phase, now, "", message)


def ended(
    pipeline: Pipeline, phase: Phase, now: float, reason: str, message: str, *, actor: str = CONTROLLER
) -> Pipeline:
    """To one of FINAL, with the reason that is shown."""
    if phase not in FINAL:
        raise IllegalMove(f"{phase.value} is not final")
    return replace(_to(pipeline, phase, now, reason, message, actor=actor), ended=now)


def has_job(pipeline: Pipeline, job: str) -> Pipeline:
    """Its job is there. Told again it is the same; INTERNAL for another one, as there is one for each pipeline."""
    _same(pipeline.job, job, pipeline)
    return replace(pipeline, job=job)


def has_version(pipeline: Pipeline, version: int) -> Pipeline:
    """The job has registered it, whether its gates passed or not."""
    return replace(pipeline, version=version)


def has_release(pipeline: Pipeline, release: str) -> Pipeline:
    """Its release is there; as `has_job`."""
    _same(pipeline.release, release, pipeline)
    return replace(pipeline, release=release)


def has_deployment(pipeline: Pipeline) -> Pipeline:
    """The model's first version is on its way to its nodes."""
    return replace(pipeline, deployed=True)


def waiting(pipeline: Pipeline, words: str) -> Pipeline:
    """What it waits for; no line of the history."""
    return pipeline if pipeline.final else replace(pipeline, waits=legible(words, LONGEST_WAIT))


def refused(pipeline: Pipeline, phase: Phase, now: float, reason: str, message: str) -> Pipeline:
    """What the stage `phase` asked for was refused for good. About a stage that was left it changes nothing."""
    if pipeline.final or pipeline.phase is not phase:
        return pipeline
    if stop := pipeline.stop:
        return ended(pipeline, stop.phase, now, stop.reason, stop.message, actor=stop.actor)
    return ended(pipeline, Phase.FAILED, now, reason, message)


def cancel(pipeline: Pipeline, now: float, actor: str, message: str = "") -> Pipeline:
    """What a caller asks. Twice is the same; PIPELINE_ENDED when it has ended in another way."""
    if pipeline.phase is Phase.CANCELLED:
        return pipeline
    if pipeline.final:
        hint = "Start another pipeline, or look at this one's history."
        raise DomainError(Reason.PIPELINE_ENDED, f"{pipeline.name} has ended: it {pipeline.phase.value}", hint=hint)
    return stop(pipeline, now, actor, message or f"cancelled by {actor}")


def stop(pipeline: Pipeline, now: float, actor: str, message: str) -> Pipeline:
    """Its job and release are to go first. The first wish counts; what has ended stays as it is."""
    return _stop(pipeline, Stop(legible(message), actor, now))


def broke(pipeline: Pipeline, now: float, reason: str, message: str) -> Pipeline:
    """As `stop`, to end as FAILED."""
    return _stop(pipeline, Stop(legible(message), CONTROLLER, now, Phase.FAILED, reason))


def _stop(pipeline: Pipeline, wish: Stop) -> Pipeline:
    return pipeline if pipeline.final or pipeline.stop else replace(pipeline, stop=wish)


def _to(
    pipeline: Pipeline, phase: Phase, now: float, reason: str, message: str, *, actor: str = CONTROLLER
) -> Pipeline:
    if phase not in NEXT[pipeline.phase]:
        raise IllegalMove(f"{pipeline.name} cannot go from {pipeline.phase.value} to {phase.value}")
    spent = pipeline.seconds.get(pipeline.phase, 0.0) + max(0.0, now - pipeline.since)
    seconds = {**pipeline.seconds, pipeline.phase: spent}
    said = {"reason": str(reason), "message": legible(message), "actor": actor}
    return replace(pipeline, phase=phase, since=now, seconds=seconds, waits="", **said)  # type: ignore[arg-type]


def _same(known: str, told: str, pipeline: Pipeline) -> None:
    if not told or (known and known != told):
        raise DomainError(Reason.INTERNAL, f"{pipeline.name} belongs to {known or 'nothing'}, and not to {told!r}")
