"""What happens to a pipeline next, each with its sentence; and what is to be done about it. Pure.

A move is kept, then `effects` of what is kept are done, then what they answered is kept (`transitions.has_job`,
`has_release`, `refused`). Every effect is repeated until its answer is kept, and repeating it does no harm.
Silence changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from bmase.reasons import Reason

from services.trainer.jobs.state import Cause, Job
from services.trainer.jobs.state import Phase as JobPhase
from services.trainer.pipelines import transitions as tr
from services.trainer.pipelines.observation import RELEASE_DONE, ReleasePhase, ReleaseSeen, Seen
from services.trainer.pipelines.state import STAGES, Phase, Pipeline, Why

MAX_ROUNDS = 20
LANDED = 60.0  # a creation that was under way when its pipeline was stopped has landed by then, and can be seen

_STAGE_OF = dict(zip((JobPhase.RUNNING, JobPhase.EVALUATING, JobPhase.REGISTERING), STAGES[:3], strict=True))


class UnsettledError(RuntimeError):
    """The decision does not come to rest: a defect in the rules."""


class Act(StrEnum):
    """What is to be done outside."""

    CREATE_JOB = "create job"
    CANCEL_JOB = "cancel job"
    CREATE_RELEASE = "create release"
    ABORT_RELEASE = "abort release"
    DEPLOY = "deploy"
    UNDEPLOY = "undeploy"


@dataclass(frozen=True, slots=True)
class Effect:
    """One call. `request_id` makes a creation one thing however often it is asked for; `target` is whom others mean."""

    act: Act
    request_id: str = ""
    target: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True)
class Move:
    """The next state, which is to be kept before anything is done."""

    before: Pipeline
    after: Pipeline
    sentence: str


@dataclass(frozen=True, slots=True)
class Hold:
    """It stays, and what it waits for."""

    sentence: str


Found = Move | Hold


def settle(pipeline: Pipeline, seen: Seen) -> tuple[Pipeline, list[Move]]:
    """The pipeline at rest, and the moves that led there."""
    taken: list[Move] = []
    for _ in range(MAX_ROUNDS):
        found = decide(pipeline, seen)
        if isinstance(found, Hold):
            return pipeline, taken
        pipeline = found.after
        taken.append(found)
    raise UnsettledError("; ".join(move.sentence for move in taken[-5:]))


def decide(pipeline: Pipeline, seen: Seen) -> Found:
    """The next change, or why it stays as it is."""
    if pipeline.final:
        return Hold(pipeline.message)
    for rule in _RULES:
        found = rule(pipeline, seen)
        if found is not None:
            return found
    raise UnsettledError(f"no rule for {pipeline.phase.value}")


def effects(pipeline: Pipeline, seen: Seen) -> tuple[Effect, ...]:
    """What is to be done for the state that is kept."""
    if pipeline.final:
        return ()
    if pipeline.stop:
        return _undoing(pipeline, seen, pipeline.stop.message)
    if pipeline.phase is Phase.RETRAINING and not pipeline.job:
        return (Effect(Act.CREATE_JOB, pipeline.job_request),)
    if pipeline.phase is Phase.RELEASING and not pipeline.release and not seen.releases_silent:
        return _bringing(pipeline, seen)
    return ()


def _bringing(pipeline: Pipeline, seen: Seen) -> tuple[Effect, ...]:
    """A model without a route has nothing to move traffic from."""
    if seen.traffic is not None:
        return (Effect(Act.CREATE_RELEASE, pipeline.release_request),)
    return () if pipeline.deployed else (Effect(Act.DEPLOY, pipeline.deployment_request),)


def _undoing(pipeline: Pipeline, seen: Seen, message: str) -> tuple[Effect, ...]:
    found = []
    if pipeline.job and not pipeline.version and seen.job is not None and not seen.job.final:
        found.append(Effect(Act.CANCEL_JOB, target=pipeline.job, message=message))
    if pipeline.release and seen.release is not None and not seen.release.final:
        found.append(Effect(Act.ABORT_RELEASE, target=pipeline.release, message=message))
    if pipeline.deployed and not pipeline.release and seen.deployment is not None and not seen.deployment.leaving:
        found.append(Effect(Act.UNDEPLOY, target=pipeline.name, message=message))
    return tuple(found)


# --- first what is there, whatever is wanted


def _finds_job(pipeline: Pipeline, seen: Seen) -> Found | None:
    if pipeline.phase is not Phase.RETRAINING or pipeline.job or seen.job is None:
        return None
    return Move(pipeline, tr.has_job(pipeline, seen.job.id), f"its job is {seen.job.name}")


def _finds_release(pipeline: Pipeline, seen: Seen) -> Found | None:
    if pipeline.phase is not Phase.RELEASING or pipeline.release or seen.release is None:
        return None
    return Move(pipeline, tr.has_release(pipeline, seen.release.id), f"its release is releases/{seen.release.id}")


def _silence(pipeline: Pipeline, seen: Seen) -> Found | None:
    if pipeline.phase is Phase.RELEASING:
        return Hold("the patcher does not answer; its release goes on") if seen.releases_silent else None
    return Hold("jobs cannot be seen at the moment") if seen.jobs_silent else None


def _first(pipeline: Pipeline, seen: Seen) -> Found | None:
    """A model without a route gets one with its first version; so there is no release."""
    if pipeline.phase is not Phase.RELEASING or pipeline.release:
        return None
    what = f"version {pipeline.version} of {pipeline.model}"
    if seen.traffic == {pipeline.version}:
        return _end(pipeline, seen, Phase.SUCCEEDED, Why.DONE, f"{what} has all of the traffic{_late(pipeline)}")
    if not pipeline.deployed:
        there = seen.traffic is None and seen.deployment is not None and not seen.deployment.leaving
        return Move(pipeline, tr.has_deployment(pipeline), f"{what} is being deployed") if there else None
    if pipeline.stop:
        return Hold("its deployment is being taken back") if seen.deployment else _cancelled(pipeline, seen)
    return _deploying(pipeline, seen, what) if seen.traffic is None else None


def _deploying(pipeline: Pipeline, seen: Seen, what: str) -> Found:
    deployment = seen.deployment
    if deployment is None:
        return _end(pipeline, seen, Phase.FAILED, Reason.DEPLOYMENT_NOT_FOUND.value, f"{what} was undeployed")
    said = f": {deployment.message}" if deployment.message else ""
    if deployment.failed:
        reason = deployment.reason or Reason.LOAD_FAILED.value
        broken = tr.broke(pipeline, seen.now, reason, f"{what} could not be deployed{said}")
        return Move(pipeline, broken, f"{what} could not be deployed{said}")
    return Hold(f"{what} is the first one that is served; its deployment is {deployment.state}{said}")


def _creating(pipeline: Pipeline, seen: Seen) -> Found | None:
    """Nothing is known to be there yet."""
    releasing = pipeline.phase is Phase.RELEASING
    if pipeline.release if releasing else pipeline.job:
        return None
    what = "release" if releasing else "job"
    if pipeline.stop is None:
        return Hold(f"its {what} is being created" + (f": {seen.refused}" if seen.refused else ""))
    if seen.now - pipeline.stop.asked < LANDED:
        return Hold(f"is being stopped; looks whether its {what} was still created")
    return _cancelled(pipeline, seen)


def _vanished(pipeline: Pipeline, seen: Seen) -> Found | None:
    releasing = pipeline.phase is Phase.RELEASING
    if (seen.release if releasing else seen.job) is not None:
        return None
    if pipeline.stop:
        return _cancelled(pipeline, seen)
    name = f"releases/{pipeline.release}" if releasing else f"jobs/{pipeline.job}"
    reason = Reason.RELEASE_NOT_FOUND if releasing else Reason.JOB_NOT_FOUND
    return _end(pipeline, seen, Phase.FAILED, reason.value, f"{name} was there and is not any more")


# --- the job


def _job(pipeline: Pipeline, seen: Seen) -> Found | None:
    job = seen.job
    if pipeline.phase is Phase.RELEASING or job is None:
        return None
    if job.version and not pipeline.version:
        words = f"version {job.version} of {pipeline.model} is registered"
        return Move(pipeline, tr.has_version(pipeline, job.version), words)
    if job.phase in (JobPhase.FAILED, JobPhase.CANCELLED):
        return _without_version(pipeline, seen, job)
    reached = Phase.REGISTERING if job.final else _STAGE_OF[job.stage]
    if STAGES.index(reached) > STAGES.index(pipeline.phase):
        following = STAGES[STAGES.index(pipeline.phase) + 1]
        sentence = f"{job.name} is {following.value}"
        return Move(pipeline, tr.advanced(pipeline, following, seen.now, sentence), sentence)
    if job.phase is JobPhase.SUCCEEDED:
        return _registered(pipeline, seen, job)
    waits = f": {job.message}" if job.message else ""
    return Hold(f"{job.name} {'is being stopped' if pipeline.stop else f'is {job.phase.value}'}{waits}")


def _without_version(pipeline: Pipeline, seen: Seen, job: Job) -> Move:
    if pipeline.stop:
        return _cancelled(pipeline, seen)
    if job.cause is Cause.GATE_FAILED:
        return _end(pipeline, seen, Phase.GATE_FAILED, Why.GATE_FAILED, job.message)
    if job.phase is JobPhase.CANCELLED:
        after = tr.ended(pipeline, Phase.CANCELLED, seen.now, Why.CANCELLED, job.message, actor=job.actor)
        return Move(pipeline, after, job.message)
    return _end(pipeline, seen, Phase.FAILED, job.cause.value.upper() or Why.JOB_FAILED, f"{job.name}: {job.message}")


def _registered(pipeline: Pipeline, seen: Seen, job: Job) -> Move:
    what = f"version {pipeline.version} of {pipeline.model}"
    if pipeline.stop:
        return _cancelled(pipeline, seen)
    if not pipeline.version:  # of recipes that give a verdict: there is nothing to release
        return _end(pipeline, seen, Phase.FAILED, Why.JOB_FAILED, f"{job.name} made no version: {job.message}")
    if pipeline.plan.no_release:
        return _end(pipeline, seen, Phase.SUCCEEDED, Why.DONE, f"{what} is registered; no release was asked for")
    sentence = f"{what} passed its gates and is to be released"
    return Move(pipeline, tr.advanced(pipeline, Phase.RELEASING, seen.now, sentence), sentence)


# --- the release


def _release(pipeline: Pipeline, seen: Seen) -> Found | None:
    release = seen.release
    if pipeline.phase is not Phase.RELEASING or release is None:
        return None
    if release.phase in RELEASE_DONE:
        words = f"version {pipeline.version} of {pipeline.model} has all of the traffic{_late(pipeline)}"
        return _end(pipeline, seen, Phase.SUCCEEDED, Why.DONE, words)
    if not release.final:
        doing = "is being taken back" if pipeline.stop else f"is {release.phase.value} at {release.percent:g} %"
        return Hold(f"releases/{release.id} {doing}" + (f": {release.message}" if release.message else ""))
    return _cancelled(pipeline, seen) if pipeline.stop else _released_badly(pipeline, seen, release)


def _released_badly(pipeline: Pipeline, seen: Seen, release: ReleaseSeen) -> Move:
    said = f"releases/{release.id}: {release.message}"
    if release.phase is ReleasePhase.ROLLED_BACK:
        return _end(pipeline, seen, Phase.ROLLED_BACK, release.reason or Why.ROLLED_BACK, f"rolled back, {said}")
    return _end(pipeline, seen, Phase.FAILED, release.reason or Why.RELEASE_FAILED, said)


def _cancelled(pipeline: Pipeline, seen: Seen) -> Move:
    stop = pipeline.stop
    assert stop is not None
    kept = f"; version {pipeline.version} stays registered" if pipeline.version else ""
    message = f"{stop.message}{kept}"
    after = tr.ended(pipeline, stop.phase, seen.now, stop.reason, message, actor=stop.actor)
    return Move(pipeline, after, message)


def _late(pipeline: Pipeline) -> str:
    return ", before it could be stopped" if pipeline.stop else ""


def _end(pipeline: Pipeline, seen: Seen, phase: Phase, reason: str, message: str) -> Move:
    return Move(pipeline, tr.ended(pipeline, phase, seen.now, reason, message), message)


_RULES: tuple[Callable[[Pipeline, Seen], Found | None], ...] = (
    _finds_job,
    _finds_release,
    _silence,
    _first,
    _creating,
    _vanished,
    _job,
    _release,
)
