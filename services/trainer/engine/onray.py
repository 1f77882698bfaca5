"""Training on Ray, in the driver's process: connected, worked, left."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import ray
from ray.exceptions import RayError

from services.trainer.data import Manifest
from services.trainer.engine import loopback, marks
from services.trainer.engine.attempt import Attempt, Failed, Said
from services.trainer.engine.driver import environment
from services.trainer.engine.group import NAMESPACE, Group, NodeGoneError, Outcome
from services.trainer.engine.reach import refusal
from services.trainer.jobs.state import Cause

_ROOT = Path(__file__).resolve().parents[3]


def train(attempt: Attempt, manifests: Mapping[str, Manifest], listen: Callable[[Sequence[Said]], None]) -> Outcome:
    """The outcome of the group's work; a cluster that cannot be reached is a loss, not a fault of the job."""
    if problem := refusal(attempt.address):
        return _lost(f"Ray cannot be reached at {attempt.address}: {problem}")
    loopback.stay(attempt.address)
    try:
        ray.init(
            attempt.address,
            namespace=NAMESPACE,
            log_to_driver=False,
            configure_logging=False,
            logging_level=logging.ERROR,
        )
    except (RuntimeError, OSError, RayError) as error:
        return _lost(f"Ray cannot be reached at {attempt.address}: {' '.join(str(error).split())[:300]}")
    try:
        with Group(attempt, _environment(attempt)) as group:
            return group.work(manifests, listen)
    except NodeGoneError as error:
        return Outcome(failed=Failed(cause=Cause.NODE_LOST, message=str(error)))
    except (RayError, TimeoutError) as error:
        return _lost(" ".join(str(error).split())[:500])
    finally:
        ray.shutdown()


def _lost(message: str) -> Outcome:
    return Outcome(failed=Failed(cause=Cause.WORKER_LOST, message=message))


def _environment(attempt: Attempt) -> dict[str, str]:
    """Of the workers: what numeric libraries read only when they start, where our code lies (with a lock, where nothing
    else lies beside it), and whose they are.
    """
    ours = [str(_ROOT), str(_ROOT / "sdk")] if attempt.lock is None else [os.environ["PYTHONPATH"]]
    path = os.pathsep.join(ours)
    mark = {marks.ATTEMPT: os.environ[marks.MARK]} if marks.MARK in os.environ else {}
    return {**environment(attempt), "PYTHONPATH": path, **mark}
