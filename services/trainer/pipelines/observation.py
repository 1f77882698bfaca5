"""What a pipeline sees of the world: its job, its release, and who is silent. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from services.trainer.jobs.state import Job


class ReleasePhase(StrEnum):
    """Of a release, as its contract names them (`bmase.patcher.v1.Release.State`)."""

    DEPLOYING = "deploying"
    SHADOW = "shadow"
    STEPPING = "stepping"
    PROMOTED = "promoted"
    COMPLETED = "completed"
    ROLLING_BACK = "rolling_back"
    ROLLED_BACK = "rolled_back"
    FAILED = "failed"


RELEASE_FINAL = frozenset({ReleasePhase.COMPLETED, ReleasePhase.ROLLED_BACK, ReleasePhase.FAILED})
# All traffic is with the candidate; afterwards the old version is only kept for a way back.
RELEASE_DONE = frozenset({ReleasePhase.PROMOTED, ReleasePhase.COMPLETED})


@dataclass(frozen=True, slots=True)
class ReleaseSeen:
    """The release as the patcher tells it."""

    id: str
    phase: ReleasePhase
    percent: float = 0.0
    reason: str = ""
    message: str = ""

    @property
    def final(self) -> bool:
        return self.phase in RELEASE_FINAL


@dataclass(frozen=True, slots=True)
class DeploymentSeen:
    """The deployment of the pipeline's version as the patcher tells it; `failed`: its nodes gave up."""

    state: str
    failed: bool = False
    leaving: bool = False
    reason: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True)
class Seen:
    """The world at one moment.

    job      the one with the pipeline's id of a job, or with its label while that is not known; None: there is none
    release  the one with the pipeline's id of a release, or while that is not known the latest of the pipeline's model
             and version, whoever has created it; None: there is none
    traffic     versions of its model that have traffic; None: the model has no route. Looked at without a release only
    deployment  of its version; None: there is none. Looked at without a release only
    refused     what was answered when it was last tried to create what is to be created; it will be tried again
    Who did not answer is silent: then None says nothing.
    """

    now: float
    job: Job | None = None
    release: ReleaseSeen | None = None
    traffic: frozenset[int] | None = frozenset({0})
    deployment: DeploymentSeen | None = None
    refused: str = ""
    jobs_silent: bool = False
    releases_silent: bool = False
