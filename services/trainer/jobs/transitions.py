"""The only ways in which a job changes. Pure: from the job before to the job after.

What an attempt reports names the attempt: a late word of one that was given up (`StaleAttempt`) changes nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from bmase.reasons import Reason

from services.kit.errors import DomainError
from services.trainer.jobs.state import (
    CONTROLLER,
    FINAL,
    FROM_NOTHING,
    LOSSES,
    NEXT,
    STOPS,
    Attempt,
    Cause,
    Checkpoint,
    GateResult,
    Job,
    Outcome,
    Phase,
    Progress,
    Stop,
    legible,
)

MAX_FRUITLESS = 5
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0  # seconds after a loss, doubled from one to the next
FIRST_ATTEMPTS, LAST_ATTEMPTS = 10, 40
CHECKPOINTS_KEPT = 3
LONGEST_PROGRESS = 200


class IllegalMove(ValueError):  # noqa: N818 - named after what it is
    """The job's phase does not allow it: a defect of the caller, or a race that another change has won."""


class StaleAttempt(IllegalMove):
    """The report is of an attempt that no longer counts."""


# --- an attempt


def begin(job: Job, now: float, workers: Mapping[str, int]) -> Job:
    """QUEUED or RESUMING -> PREPARING: the next attempt has these machines."""
    step = job.checkpoints[-1].step if job.checkpoints else FROM_NOTHING
    number = job.attempts[-1].number + 1 if job.attempts else 1
    attempt = Attempt(number, now, dict(workers), step)
    words = f"attempt {number} on {', '.join(workers)}" + (f" from step {step}" if step != FROM_NOTHING else "")
    begun = _to(job, Phase.PREPARING, now, "", words)
    return replace(begun, attempts=_shortened((*job.attempts, attempt)), ready=0.0, started=job.started or now)


def prepared(job: Job, attempt: int, now: float) -> Job:
    """PREPARING -> the stage that the job is at: RUNNING, EVALUATING or REGISTERING."""
    _expect(job, attempt, Phase.PREPARING)
    return _to(job, job.stage, now)


def progressed(job: Job, attempt: int, progress: Progress) -> Job:
    """The phase stays."""
    _expect(job, attempt, Phase.RUNNING, Phase.EVALUATING)
    # JSON has no word for the others.
    epoch = progress.epoch if math.isfinite(progress.epoch) else 0.0
    return replace(job, progress=replace(progress, epoch=epoch, message=legible(progress.message, LONGEST_PROGRESS)))


def checkpointed(job: Job, attempt: int, checkpoint: Checkpoint) -> Job:
    """RUNNING stays; the oldest of too many checkpoints leave the list, and may then be removed from the store."""
    _expect(job, attempt, Phase.RUNNING)
    further = not job.checkpoints or checkpoint.step > job.checkpoints[-1].step
    earlier = tuple(kept for kept in job.checkpoints if kept.step < checkpoint.step)
    listed = (*earlier, replace(checkpoint, attempt=attempt))[-CHECKPOINTS_KEPT:]
    return replace(job, checkpoints=listed, fruitless=0 if further else job.fruitless)


def trained(job: Job, attempt: int, now: float, product: str) -> Job:
    """RUNNING -> EVALUATING: what training gave is in the registry under this digest."""
    _expect(job, attempt, Phase.RUNNING)
    return replace(_to(job, Phase.EVALUATING, now), stage=Phase.EVALUATING, product=product, fruitless=0)


def evaluated(job: Job, attempt: int, now: float, gates: Iterable[GateResult]) -> Job:
    """EVALUATING -> REGISTERING, whether the gates passed or not: the version is to carry its evaluation."""
    _expect(job, attempt, Phase.EVALUATING)
    at = _to(job, Phase.REGISTERING, now)
    return replace(at, stage=Phase.REGISTERING, gates=tuple(gates), fruitless=0)


def committed(job: Job, attempt: int, now: float, parent: int) -> Job:
    """REGISTERING stays: the registry is asked for the version next, and nothing stops the job any more.

    A job that was to be stopped is stopped instead, while there is no version. `parent` is kept: asked again, the
    registry is to hear the same, or it would refuse.
    """
    _expect(job, attempt, Phase.REGISTERING)
    if job.stop:
        return _stopped(job, now)
    return job if job.committed else replace(job, parent=parent)


def registered(job: Job, attempt: int, now: float, version: int) -> Job:
    """REGISTERING -> SUCCEEDED, or FAILED with GATE_FAILED when a gate failed."""
    _expect(job, attempt, Phase.REGISTERING)
    with_version = replace(job, version=version)
    failed_gates = [result for result in job.gates if result.outcome is Outcome.FAILED]
    if not failed_gates:
        return _end(with_version, Phase.SUCCEEDED, now, Cause.NONE, f"version {version} of {job.model} is registered")
    shown = "; ".join(f"{result.gate}: {result.message}" if result.message else result.gate for result in failed_gates)
    words = f"version {version} of {job.model} is registered, but is not to be released: {shown}"
    return _end(with_version, Phase.FAILED, now, Cause.GATE_FAILED, words)


def concluded(job: Job, attempt: int, now: float, gates: Iterable[GateResult], sentence: str) -> Job:
    """EVALUATING -> SUCCEEDED, or FAILED with GATE_FAILED: of a job whose result is a verdict and no version."""
    _expect(job, attempt, Phase.EVALUATING)
    judged = replace(job, gates=tuple(gates), fruitless=0)
    if any(result.outcome is Outcome.FAILED for result in judged.gates):
        return _end(judged, Phase.FAILED, now, Cause.GATE_FAILED, sentence)
    return _end(judged, Phase.SUCCEEDED, now, Cause.NONE, sentence)


def failed(job: Job, attempt: int, now: float, cause: Cause, message: str) -> Job:
    """Active -> FAILED: another attempt would end in the same way. A job that was to be stopped is stopped by it."""
    _running(job, attempt)
    return stopped(job, attempt, now) if job.stop else _end(job, Phase.FAILED, now, cause, message)


def lost(job: Job, attempt: int, now: float, cause: Cause, message: str) -> Job:
    """Active -> RESUMING, QUEUED when nothing was done yet, or FAILED when that happened too often in a row.

    `cause` is one of LOSSES. A job that was to be stopped is stopped by it.
    """
    _running(job, attempt)
    if cause not in LOSSES:
        raise IllegalMove(f"{cause.value} is no loss: it would happen again")
    if job.stop:
        return stopped(job, attempt, now)
    fruitless = job.fruitless + 1
    if fruitless >= MAX_FRUITLESS:
        words = f"{fruitless} attempts in a row ended without a new checkpoint; the last one: {message}"
        words += "; the registry was asked for its version, and may have it" if job.committed else ""
        return _end(replace(job, fruitless=fruitless), Phase.FAILED, now, Cause.LOST_TOO_OFTEN, words)
    back = Phase.QUEUED if job.phase is Phase.PREPARING and not job.begun else Phase.RESUMING
    left = _to(_closed(job, now, cause, message), back, now, cause.value.upper(), message)
    pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** (fruitless - 1))
    return replace(left, cause=cause, fruitless=fruitless, ready=now + pause)


# --- stopping


def cancel(job: Job, now: float, actor: str, message: str) -> Job:
    """What a caller asks. Twice is the same; JOB_ENDED when it has ended in another way, JOB_COMMITTED when its
    version may be in the registry.
    """
    if job.phase is Phase.CANCELLED:
        return job
    if job.final:
        hint = "Create another job, or look at this one with GetJob."
        raise DomainError(Reason.JOB_ENDED, f"{job.name} has ended: it {job.phase.value}", hint=hint)
    if job.committed:
        words = f"{job.name} has asked the registry for its version, and can no longer be cancelled"
        hint = "Wait for its end; then delete the version if nobody wants it."
        raise DomainError(Reason.JOB_COMMITTED, words, hint=hint)
    return stop(job, now, Cause.CANCELLED, message or f"cancelled by {actor}", actor)


def stop(job: Job, now: float, cause: Cause, message: str, actor: str = CONTROLLER) -> Job:
    """A waiting job ends at once; of an active one the processes are to go first. The first wish counts."""
    if job.final or cause not in STOPS:
        raise IllegalMove(f"{job.name} is {job.phase.value} and cannot be stopped for {cause.value!r}")
    if job.committed:
        raise IllegalMove(f"{job.name} may have its version in the registry, and cannot be stopped for {cause.value!r}")
    if job.stop:
        return job
    wanted = replace(job, stop=Stop(cause, legible(message), actor, now), actor=actor)
    return wanted if job.active else _stopped(wanted, now)


def stopped(job: Job, attempt: int, now: float) -> Job:
    """Active -> CANCELLED or FAILED: the processes of a job that was to be stopped are gone."""
    _running(job, attempt)
    if job.stop is None:
        raise IllegalMove(f"nobody has asked to stop {job.name}")
    return _stopped(job, now)


def _stopped(job: Job, now: float) -> Job:
    assert job.stop is not None
    phase = Phase.CANCELLED if job.stop.cause is Cause.CANCELLED else Phase.FAILED
    return _end(job, phase, now, job.stop.cause, job.stop.message, actor=job.stop.actor)


# --- what all have in common


def _expect(job: Job, attempt: int, *phases: Phase) -> None:
    _running(job, attempt)
    if job.phase not in phases:
        raise IllegalMove(f"{job.name} is {job.phase.value}, not {' or '.join(phase.value for phase in phases)}")


def _running(job: Job, attempt: int) -> None:
    now_running = job.attempt
    if now_running is None or now_running.number != attempt:
        raise StaleAttempt(f"attempt {attempt} of {job.name} no longer counts: it is {job.phase.value}")


def _to(job: Job, phase: Phase, now: float, reason: str = "", message: str = "", *, actor: str = CONTROLLER) -> Job:
    if phase not in NEXT[job.phase]:
        raise IllegalMove(f"{job.name} is {job.phase.value}, from where there is no way to {phase.value}")
    said: dict[str, Any] = {"reason": reason, "message": legible(message), "actor": actor}
    return replace(job, phase=phase, seconds=job.seconds_at(now), since=now, **said)


def _closed(job: Job, now: float, cause: Cause, message: str) -> Job:
    attempt = job.attempt
    if attempt is None:
        return job
    over = replace(attempt, ended=now, cause=cause, message=legible(message))
    return replace(job, attempts=(*job.attempts[:-1], over), spent=job.spent_at(now))


def _end(job: Job, phase: Phase, now: float, cause: Cause, message: str, *, actor: str = CONTROLLER) -> Job:
    assert phase in FINAL
    # An attempt that has done its work has no cause, also where a gate then failed.
    own = Cause.NONE if cause in (Cause.NONE, Cause.GATE_FAILED) else cause
    over = _closed(job, now, own, "" if own is Cause.NONE else message)
    ended = _to(over, phase, now, cause.value.upper(), message, actor=actor)
    return replace(ended, cause=cause, stop=None, ended=now)


def _shortened(attempts: tuple[Attempt, ...]) -> tuple[Attempt, ...]:
    if len(attempts) <= FIRST_ATTEMPTS + LAST_ATTEMPTS:
        return attempts
    return attempts[:FIRST_ATTEMPTS] + attempts[-LAST_ATTEMPTS:]
