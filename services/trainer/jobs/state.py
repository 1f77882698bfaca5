"""A job as it is kept, and the table of its states.

    QUEUED --> PREPARING --> RUNNING --> EVALUATING --> REGISTERING --> SUCCEEDED
      ^            |            |            |              |
      |            +------------+-----+------+--------------+---------> FAILED
      +---(nothing was done yet)------+                                 (cancelled: CANCELLED)
                                      |
                                  RESUMING --> PREPARING --> the stage it was at

QUEUED        holds nothing; waits for its turn
PREPARING     an attempt has its machines; what it needs is brought there
RUNNING       trains, from the last checkpoint if there is one
EVALUATING    what training gave is safe in the registry; another attempt begins here
REGISTERING   the evaluation is done; another attempt begins here. Once it is `committed` nothing stops it any more
RESUMING      lost its processes after something was done; holds nothing, waits for its turn
The last three are final. Only the four between QUEUED and them hold machines (`ACTIVE`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from bmase.reasons import Reason
from pydantic import TypeAdapter, ValidationError

from services.kit.errors import DomainError
from services.trainer.jobs.spec import Spec

CONTROLLER = "controller"
LONGEST_MESSAGE = 4000  # an error's own words may be a whole traceback
FROM_NOTHING = -1  # of `Attempt.from_step`


class Phase(StrEnum):
    """Of a job (`Job.State`); see the module's text."""

    QUEUED = "queued"
    PREPARING = "preparing"
    RUNNING = "running"
    EVALUATING = "evaluating"
    REGISTERING = "registering"
    RESUMING = "resuming"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


WAITING = frozenset({Phase.QUEUED, Phase.RESUMING})
ACTIVE = frozenset({Phase.PREPARING, Phase.RUNNING, Phase.EVALUATING, Phase.REGISTERING})
FINAL = frozenset({Phase.SUCCEEDED, Phase.FAILED, Phase.CANCELLED})
STAGES = (Phase.RUNNING, Phase.EVALUATING, Phase.REGISTERING)  # where an attempt goes when it is prepared

_FROM_ANY = frozenset({Phase.FAILED, Phase.CANCELLED})
_FROM_ACTIVE = _FROM_ANY | {Phase.RESUMING}
NEXT: Mapping[Phase, frozenset[Phase]] = {
    Phase.QUEUED: _FROM_ANY | {Phase.PREPARING},
    Phase.PREPARING: _FROM_ACTIVE | {Phase.QUEUED, *STAGES},
    Phase.RUNNING: _FROM_ACTIVE | {Phase.EVALUATING},
    Phase.EVALUATING: _FROM_ACTIVE | {Phase.REGISTERING, Phase.SUCCEEDED},  # the latter: by a verdict
    Phase.REGISTERING: _FROM_ACTIVE | {Phase.SUCCEEDED},
    Phase.RESUMING: _FROM_ANY | {Phase.PREPARING},
    **{phase: frozenset() for phase in FINAL},
}


class Cause(StrEnum):
    """Why an attempt or a job ended (`bmase.trainer.v1.Cause`)."""

    NONE = ""
    WORKER_LOST = "worker_lost"
    NODE_LOST = "node_lost"
    TRAINER_LOST = "trainer_lost"
    ERROR = "error"
    OUT_OF_MEMORY = "out_of_memory"
    TIME_LIMIT = "time_limit"
    CANCELLED = "cancelled"
    GATE_FAILED = "gate_failed"
    LOST_TOO_OFTEN = "lost_too_often"


# Nobody's fault: tried again. Everything else would only happen once more.
LOSSES = frozenset({Cause.WORKER_LOST, Cause.NODE_LOST, Cause.TRAINER_LOST})
# What a job that still has processes is stopped for.
STOPS = frozenset({Cause.CANCELLED, Cause.TIME_LIMIT})


@dataclass(frozen=True, slots=True)
class Stop:
    """Its processes are to go; never taken back. The first one counts."""

    cause: Cause
    message: str
    actor: str = CONTROLLER
    asked: float = 0.0


@dataclass(frozen=True, slots=True)
class Attempt:
    """The processes of a job from their start to their end; `ended` 0: they are still there."""

    number: int
    started: float
    workers: Mapping[str, int] = field(default_factory=dict)  # node -> how many of them
    from_step: int = FROM_NOTHING
    ended: float = 0.0
    cause: Cause = Cause.NONE
    message: str = ""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What another attempt begins with; in the blob store as a whole before it stands here."""

    step: int
    uri: str
    digest: str = ""
    size: int = 0
    attempt: int = 0
    time: float = 0.0


@dataclass(frozen=True, slots=True)
class Progress:
    step: int = 0
    total: int = 0  # 0: not known
    epoch: float = 0.0
    message: str = ""


class Outcome(StrEnum):
    """Of a gate (`GateResult.Outcome`)."""

    PASSED = "passed"
    FAILED = "failed"
    NOT_APPLICABLE = "not applicable"  # nothing to hold it against; keeps nothing back


@dataclass(frozen=True, slots=True)
class GateResult:
    gate: str
    outcome: Outcome
    message: str = ""


@dataclass(frozen=True, slots=True)
class Job:
    """One job. Times are wall-clock seconds; 0 is never."""

    id: str
    spec: Spec
    owner: str
    created: float = 0.0
    phase: Phase = Phase.QUEUED
    stage: Phase = Phase.RUNNING  # one of STAGES: where the next attempt goes when it is prepared
    since: float = 0.0  # when it came into its phase
    ready: float = 0.0  # it is not started before: the pause after a loss
    reason: str = ""
    message: str = ""
    actor: str = CONTROLLER  # who brought it to where it is
    cause: Cause = Cause.NONE  # of its end, or of the last loss
    stop: Stop | None = None
    attempts: tuple[Attempt, ...] = ()
    spent: float = 0.0  # seconds of all attempts that have ended, also of those that are no longer listed
    fruitless: int = 0  # losses in a row without a new checkpoint or stage between them
    progress: Progress = Progress()
    checkpoints: tuple[Checkpoint, ...] = ()  # that are kept, in order
    product: str = ""  # digest of what training gave; set from EVALUATING on
    gates: tuple[GateResult, ...] = ()
    parent: int | None = None  # of its version, 0: none; set before the registry is asked to make the version
    version: int = 0  # in the registry; 0: not registered
    seconds: Mapping[Phase, float] = field(default_factory=dict)  # in each phase that was left
    started: float = 0.0
    ended: float = 0.0

    @property
    def name(self) -> str:
        return f"jobs/{self.id}"

    @property
    def model(self) -> str:
        return self.spec.model.model

    @property
    def active(self) -> bool:
        """An attempt holds machines."""
        return self.phase in ACTIVE

    @property
    def waiting(self) -> bool:
        return self.phase in WAITING

    @property
    def final(self) -> bool:
        return self.phase in FINAL

    @property
    def attempt(self) -> Attempt | None:
        """The one that holds machines."""
        return self.attempts[-1] if self.active else None

    @property
    def begun(self) -> bool:
        """Something would be lost by beginning anew."""
        return bool(self.checkpoints) or self.stage is not Phase.RUNNING

    @property
    def committed(self) -> bool:
        """The registry may have its version: nothing stops it any more, and it is registered, however often asked."""
        return self.parent is not None

    def spent_at(self, now: float) -> float:
        """Seconds in which it held machines, in all attempts."""
        attempt = self.attempt
        return self.spent + (max(0.0, now - attempt.started) if attempt else 0.0)

    def seconds_at(self, now: float) -> dict[Phase, float]:
        """How long it was in each phase so far, final ones left out."""
        found = dict(self.seconds)
        if not self.final:
            found[self.phase] = found.get(self.phase, 0.0) + max(0.0, now - self.since)
        return found


def legible(text: str, longest: int = LONGEST_MESSAGE) -> str:
    """What somebody else's code said, so that it can be kept: of bounded length, and with nothing that is no text."""
    cut = text if len(text) <= longest else f"{text[: longest - 1]}…"
    return cut.encode("utf-8", "replace").decode()


_DOCUMENTS = TypeAdapter(Job)


def to_json(job: Job) -> str:
    """The job as it is stored."""
    return _DOCUMENTS.dump_json(job).decode()


def from_json(id: str, document: str) -> Job:
    """The job that was stored; INTERNAL for what another version of the trainer has written."""
    try:
        return _DOCUMENTS.validate_json(document)
    except ValidationError as error:
        # Not "unknown": its machines and checkpoints are not free.
        message = f"the job {id} cannot be read; another version of the trainer may have written it"
        raise DomainError(Reason.INTERNAL, message) from error
