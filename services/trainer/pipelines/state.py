"""A pipeline as it is kept, and the table of its states.

    RETRAINING --> EVALUATING --> REGISTERING --> RELEASING --> SUCCEEDED
        |              |              |               |
        |              |              |               +--> ROLLED_BACK  the release was taken back
        |              |              +---------------|--> GATE_FAILED  the evaluation does not show what it must
        +--------------+--------------+---------------+--> FAILED       something broke
                                                      +--> CANCELLED    somebody did not want it any more

RETRAINING    its job is to be created, waits, or trains
EVALUATING    the job's training is safe
REGISTERING   the job's evaluation is done
RELEASING     the version is registered and passed its gates; its release is to be created, or goes on. A model that has
              no route yet has nothing to move traffic from: its first version is deployed and gets all of it
The last five are final. One job is behind the first three: it resumes by itself, and the pipeline follows it.

Nothing is done before the state that asks for it is kept, and what is done is asked for under a request id made of the
pipeline's id and stage: done again after a crash, it is the same job and the same release.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from bmase.reasons import Reason
from pydantic import TypeAdapter, ValidationError

from services.kit.errors import DomainError
from services.trainer.jobs.state import CONTROLLER
from services.trainer.pipelines.plan import Plan


class Phase(StrEnum):
    """Of a pipeline; see the module's text."""

    RETRAINING = "retraining"
    EVALUATING = "evaluating"
    REGISTERING = "registering"
    RELEASING = "releasing"
    SUCCEEDED = "succeeded"
    GATE_FAILED = "gate_failed"
    ROLLED_BACK = "rolled_back"
    FAILED = "failed"
    CANCELLED = "cancelled"


FINAL = frozenset({Phase.SUCCEEDED, Phase.GATE_FAILED, Phase.ROLLED_BACK, Phase.FAILED, Phase.CANCELLED})
STAGES = (Phase.RETRAINING, Phase.EVALUATING, Phase.REGISTERING, Phase.RELEASING)  # in their order
_BROKEN = frozenset({Phase.FAILED, Phase.CANCELLED})
_JUDGED = _BROKEN | {Phase.GATE_FAILED}
NEXT: Mapping[Phase, frozenset[Phase]] = {
    Phase.RETRAINING: _JUDGED | {Phase.EVALUATING},
    Phase.EVALUATING: _JUDGED | {Phase.REGISTERING},
    Phase.REGISTERING: _JUDGED | {Phase.RELEASING, Phase.SUCCEEDED},
    Phase.RELEASING: _BROKEN | {Phase.ROLLED_BACK, Phase.SUCCEEDED},
    **{phase: frozenset() for phase in FINAL},
}


class Why(StrEnum):
    """Reasons of the pipeline; others are the job's or the release's, passed on as they came."""

    GATE_FAILED = "GATE_FAILED"
    ROLLED_BACK = "ROLLED_BACK"
    CANCELLED = "CANCELLED"
    JOB_FAILED = "JOB_FAILED"
    RELEASE_FAILED = "RELEASE_FAILED"
    DONE = "DONE"


@dataclass(frozen=True, slots=True)
class Stop:
    """It is not to go on; never taken back. The first one counts."""

    message: str
    actor: str = CONTROLLER
    asked: float = 0.0
    phase: Phase = Phase.CANCELLED  # FAILED: something broke, and what was put there goes first
    reason: str = Why.CANCELLED


@dataclass(frozen=True, slots=True)
class Pipeline:
    """One pipeline. Times are wall-clock seconds; 0 is never."""

    id: str
    plan: Plan
    owner: str
    created: float = 0.0
    schedule: str = ""  # that has started it; empty: a person did
    fire: str = ""  # the key of the schedule's fire
    origin: str = ""  # a sentence: what it was started for
    phase: Phase = Phase.RETRAINING
    since: float = 0.0  # when it came into its phase
    reason: str = ""
    message: str = ""
    actor: str = CONTROLLER  # who brought it to where it is
    stop: Stop | None = None
    job: str = ""  # id; empty: not known to be there
    version: int = 0  # in the registry; 0: not registered
    release: str = ""  # id; empty: not known to be there
    deployed: bool = False  # the model's first version, by this pipeline
    waits: str = ""  # what for, in words, as it was seen last
    seconds: Mapping[Phase, float] = field(default_factory=dict)  # in each stage that was left
    ended: float = 0.0

    @property
    def name(self) -> str:
        return f"pipelines/{self.id}"

    @property
    def model(self) -> str:
        return self.plan.model

    @property
    def final(self) -> bool:
        return self.phase in FINAL

    @property
    def job_request(self) -> str:
        """The request id under which its job is created, however often."""
        return f"{self.id}.job"

    @property
    def release_request(self) -> str:
        """The request id under which its release is created, however often."""
        return f"{self.id}.release"

    @property
    def deployment_request(self) -> str:
        """The request id under which the model's first version is deployed, however often."""
        return f"{self.id}.deploy"


_DOCUMENTS = TypeAdapter(Pipeline)


def to_json(pipeline: Pipeline) -> str:
    """The pipeline as it is stored."""
    return _DOCUMENTS.dump_json(pipeline).decode()


def from_json(id: str, document: str) -> Pipeline:
    """The pipeline that was stored; INTERNAL for what another version of the trainer has written."""
    try:
        return _DOCUMENTS.validate_json(document)
    except ValidationError as error:
        message = f"the pipeline {id} cannot be read; another version of the trainer may have written it"
        raise DomainError(Reason.INTERNAL, message) from error
