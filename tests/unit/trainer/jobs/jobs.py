"""Jobs for tests."""

from __future__ import annotations

from typing import Any

from services.trainer.jobs import transitions as tr
from services.trainer.jobs.spec import Spec
from services.trainer.jobs.state import Checkpoint, GateResult, Job, Outcome, Phase

DIGEST = "sha256:" + "a" * 64


def spec(**fields: Any) -> Spec:
    """As little as a job must say, and these fields."""
    return Spec.model_validate({"model": "models/digits", "recipe": "tabular", **fields})


def job(id: str = "j1", created: float = 0.0, owner: str = "ann", **fields: Any) -> Job:
    """A job that waits since it was created."""
    return Job(id, spec(**fields), owner, created, since=created)


def at(phase: Phase, *, checkpoint: bool = False, gate: Outcome = Outcome.PASSED) -> Job:
    """A job that has come to this phase by the transitions alone; attempt 1 runs where one does."""
    waiting = job(gates=("accuracy >= 0.9",))
    if phase is Phase.QUEUED:
        return waiting
    preparing = tr.begin(waiting, 1.0, {"blue": 1})
    if phase is Phase.PREPARING:
        return preparing
    if phase is Phase.CANCELLED:
        return tr.cancel(waiting, 1.0, "ann", "")
    running = tr.prepared(preparing, 1, 2.0)
    if checkpoint:
        running = tr.checkpointed(running, 1, Checkpoint(10, "file:///c/10"))
    return _from_running(running, phase, gate)


def _from_running(running: Job, phase: Phase, gate: Outcome) -> Job:
    if phase is Phase.RUNNING:
        return running
    if phase is Phase.RESUMING:
        return tr.lost(running, 1, 3.0, tr.Cause.WORKER_LOST, "killed")
    if phase is Phase.FAILED:
        return tr.failed(running, 1, 3.0, tr.Cause.ERROR, "ValueError: no")
    evaluating = tr.trained(running, 1, 4.0, DIGEST)
    if phase is Phase.EVALUATING:
        return evaluating
    registering = tr.evaluated(evaluating, 1, 5.0, [GateResult("accuracy >= 0.9", gate, "0.95 (0.93 to 0.97)")])
    return registering if phase is Phase.REGISTERING else tr.registered(registering, 1, 6.0, 3)
