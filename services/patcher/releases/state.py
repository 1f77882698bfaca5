"""A release as it is kept, and the only ways in which it changes.

    DEPLOYING --> SHADOW --> STEPPING --> PROMOTED --> COMPLETED
        |           |           |            |
        |           |           +------------+--> ROLLING_BACK --> ROLLED_BACK
        +-----------+--> FAILED                   (by a person from any of the first four)

DEPLOYING     the route is taken, so that nobody else moves it; the candidate is brought to its nodes
SHADOW        sampled requests are replayed to both versions
STEPPING      step -1: nobody judges yet, no traffic; step i: the candidate has the traffic of step i
PROMOTED      the candidate has all of it; the old version is kept until `keep_until`
ROLLING_BACK  the candidate is to have nothing; waiting until every gateway does so
The three on the right are final; chores may be left, and are done by whoever leads.

The weights are computed from this state alone (`weights`), so a successor sends what the last leader meant, and never
anything in between.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from services.patcher.releases.policy import Policy

WHOLE = 1_000_000  # what weights add up to, so that a sticky client moves only when it must
CONTROLLER = "controller"


class Phase(StrEnum):
    """Of a release (`Release.State`); see the module's text."""

    DEPLOYING = "deploying"
    SHADOW = "shadow"
    STEPPING = "stepping"
    PROMOTED = "promoted"
    COMPLETED = "completed"
    ROLLING_BACK = "rolling_back"
    ROLLED_BACK = "rolled_back"
    FAILED = "failed"


FINAL = frozenset({Phase.COMPLETED, Phase.ROLLED_BACK, Phase.FAILED})


class Why(StrEnum):
    """Reasons of the controller; others are the monitor's or of the error catalogue, passed on as they came."""

    DEPLOYING = "DEPLOYING"
    SHADOWING = "SHADOWING"
    ROUTE_TAKEN = "ROUTE_TAKEN"
    NOT_APPLIED = "NOT_APPLIED"
    PAUSED = "PAUSED"
    GATE = "GATE"
    WEBHOOK = "WEBHOOK"
    NO_EVIDENCE = "NO_EVIDENCE"
    STALE = "STALE"
    TOO_FEW = "TOO_FEW"
    TOO_SOON = "TOO_SOON"
    TIMEOUT = "TIMEOUT"
    STABLE_LOST = "STABLE_LOST"
    CANDIDATE_LOST = "CANDIDATE_LOST"
    SHADOW_FAILED = "SHADOW_FAILED"
    DISAGREES = "DISAGREES"
    NO_SAMPLES = "NO_SAMPLES"
    NO_MONITOR = "NO_MONITOR"
    REQUESTED = "REQUESTED"
    KEPT = "KEPT"
    GOOD = "GOOD"


class Kind(StrEnum):
    """Of an event (`ReleaseEvent.kind`)."""

    CREATED = "created"
    DEPLOYED = "deployed"
    SHADOW = "shadow"
    STEP = "step"
    HOLD = "hold"
    GATE = "gate"
    PAUSED = "paused"
    RESUMED = "resumed"
    PROMOTED = "promoted"
    ROLLBACK = "rollback"
    COMPLETED = "completed"
    FAILED = "failed"
    WEBHOOK = "webhook"
    LEADER = "leader"


class Chore(StrEnum):
    """What is left to do when a decision has been made; each is done until it has worked."""

    END_COMPARISON = "end comparison"
    UNDEPLOY_CANDIDATE = "undeploy candidate"
    UNDEPLOY_STABLE = "undeploy stable"
    GIVE_BACK_ROUTE = "give back route"


UNDEPLOYS = frozenset({Chore.UNDEPLOY_CANDIDATE, Chore.UNDEPLOY_STABLE})


@dataclass(frozen=True, slots=True)
class Abort:
    """Somebody or something wants the candidate out; never taken back."""

    reason: str
    message: str
    actor: str = CONTROLLER
    asked: float = 0.0


@dataclass(frozen=True, slots=True)
class Release:
    """One release. Times are wall-clock seconds; 0 is never."""

    id: str
    model: str
    candidate: int
    stable: int
    policy: Policy = field(default_factory=Policy)
    phase: Phase = Phase.DEPLOYING
    created: float = 0.0
    created_by: str = ""
    deploys: bool | None = None  # whether the candidate's deployment is this release's; None: not looked yet
    step: int = -1
    step_since: float = 0.0  # when every gateway had the step's weights; 0: not yet
    base: int = -1  # what the monitor had counted for the candidate then; -1: not known yet
    paused: bool = False
    waits_at_gate: bool = False
    opened: int = -1  # the last step whose gate a person has opened
    abort: Abort | None = None
    sheltered: bool = False  # the candidate answers nowhere: stable has its traffic meanwhile
    losses: int = 0  # how often that has happened
    reason: str = ""
    message: str = ""
    held_at: float = 0.0  # of the last "hold" in the events
    said_at: float = 0.0  # of the last event
    alias: int = 0  # the version that `stable` is to point at; 0: as it is
    alias_told: int = 0  # the version that the registry was told of
    chores: frozenset[Chore] = frozenset()
    keep_until: float = 0.0
    turned: float = 0.0  # when rolling back began
    ended: float = 0.0
    number: int = 0  # of the last event
    told: int = 0  # webhooks know the events up to this one
    revision: int = 0  # counts what was written
    evidence: bytes = b""  # of the last decision

    @property
    def name(self) -> str:
        return f"releases/{self.id}"

    @property
    def comparison(self) -> str:
        return f"comparisons/{self.id}"

    @property
    def final(self) -> bool:
        return self.phase in FINAL

    @property
    def open(self) -> bool:
        """Something is left to do."""
        untold = bool(self.policy.webhooks) and self.told < self.number
        return not self.final or bool(self.chores) or untold or self.alias != self.alias_told

    @property
    def percent(self) -> float:
        """The candidate's part of the traffic as it is meant to be now."""
        if self.sheltered:
            return 0.0
        if self.phase is Phase.STEPPING:
            return float(self.policy.steps[self.step].percent) if self.step >= 0 else 0.0
        return 100.0 if self.phase in (Phase.PROMOTED, Phase.COMPLETED) else 0.0

    @property
    def weights(self) -> dict[int, int]:
        """version -> weight. From SHADOW on both versions are listed: changes of weights alone are quick."""
        share = round(self.percent * WHOLE / 100)
        if self.phase is Phase.DEPLOYING:
            return {self.stable: WHOLE}
        return {self.stable: WHOLE - share, self.candidate: share}


@dataclass(frozen=True, slots=True)
class Event:
    """One line of the audit trail."""

    kind: Kind
    message: str
    reason: str = ""
    actor: str = CONTROLLER
    percent: float = 0.0
    evidence: bytes = b""
    time: float = 0.0
    number: int = 0


@dataclass(frozen=True, slots=True)
class Move:
    """The next state; `what` names a change that is no event of its own."""

    release: Release
    event: Event | None = None
    what: str = ""

    def __str__(self) -> str:
        if self.event is None:
            return self.what
        actor = "" if self.event.actor == CONTROLLER else f" by {self.event.actor}"
        reason = f" {self.event.reason}" if self.event.reason else ""
        return f"{self.event.kind.value}{reason}{actor}: {self.event.message}"


@dataclass(frozen=True, slots=True)
class Hold:
    """Stay; with `asks` the answers of these gating webhooks are missing for step `step`."""

    reason: str
    message: str
    step: int = -1
    asks: tuple[int, ...] = ()


def moved(release: Release, event: Event, now: float, **changes: Any) -> Move:
    """The change together with its line in the audit trail."""
    after = replace(release, **changes)
    said: dict[str, Any] = {"reason": event.reason, "message": event.message, "number": release.number + 1}
    said["said_at"] = now
    if event.evidence:
        said["evidence"] = event.evidence
    after = replace(after, **said)
    return Move(after, replace(event, time=now, number=after.number, percent=after.percent))
