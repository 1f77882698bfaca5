"""What is seen of one release at one moment. Everything in it is an observation; nothing in it was decided."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Stand(StrEnum):
    """Of a version's deployment."""

    ABSENT = "absent"
    LEAVING = "leaving"  # being taken out of service: its seats are not free yet
    COMING = "coming"
    READY = "ready"  # all replicas
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Deployed:
    """One version. `answers`: on at least one node it would answer, as far as can be told."""

    stand: Stand = Stand.ABSENT
    answers: bool = False
    replicas: int = 1
    reason: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True)
class RouteSeen:
    """The model's route as it lies in Consul; `behind`: gateways that have not applied it as it lies there."""

    weights: Mapping[int, int]
    release: str = ""
    fence: int = 0
    behind: tuple[str, ...] = ()

    @property
    def effective(self) -> dict[int, int]:
        return {version: weight for version, weight in self.weights.items() if weight}


class Verdict(StrEnum):
    """Of the judge."""

    HOLD = "hold"
    PROMOTE = "promote"
    ROLLBACK = "rollback"


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the monitor said last. `requests`: the candidate's, since the comparison began; `raw`: the whole message."""

    time: float
    verdict: Verdict
    reason: str = ""
    message: str = ""
    requests: int = 0
    raw: bytes = b""


@dataclass(frozen=True, slots=True)
class Shadowed:
    """The end of a replay; `skipped` is the reason why there was none."""

    skipped: str = ""
    message: str = ""
    total: int = 0
    failed: int = 0
    disagreed: int = 0


class Answer(StrEnum):
    """Of a webhook that is a gate."""

    GO = "go"
    WAIT = "wait"
    ROLLBACK = "rollback"


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why something that was to be done has not worked yet."""

    reason: str
    message: str


@dataclass(frozen=True)
class Seen:
    """One moment. `settled` is False while Consul's silence proves nothing; `fence` is the observing leader's."""

    now: float
    fence: int = 1
    settled: bool = True
    stable: Deployed = field(default_factory=Deployed)
    candidate: Deployed = field(default_factory=Deployed)
    route: RouteSeen | None = None
    unheard: tuple[str, ...] = ()  # gateways that have not spoken since the store is this one
    evidence: Evidence | None = None
    shadow: Shadowed | None = None
    answers: Mapping[tuple[int, int], tuple[Answer, str]] = field(default_factory=dict)  # (step, webhook)
    troubles: Mapping[str, Trouble] = field(default_factory=dict)  # by the key of the effect

    @property
    def raw_evidence(self) -> bytes:
        """As the monitor sent it, for the audit trail; empty without any."""
        return self.evidence.raw if self.evidence else b""
