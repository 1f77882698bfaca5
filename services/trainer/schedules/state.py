"""A schedule as it is kept: its wish, how far its trigger was read, and what waits."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from bmase.reasons import Reason
from pydantic import TypeAdapter, ValidationError

from services.kit.errors import DomainError
from services.trainer.schedules.spec import ScheduleSpec


class Outcome(StrEnum):
    """What became of an occasion."""

    STARTED = "started"  # its pipeline exists
    QUEUED = "queued"  # waits until an earlier pipeline has ended
    SKIPPED = "skipped"  # by the overlap policy
    MISSED = "missed"  # by the catch-up policy; one line for all of them


@dataclass(frozen=True, slots=True)
class Occasion:
    """Something to start a pipeline for. Its key is made of what it is, so that whoever sees it finds the same one."""

    key: str
    due: float
    why: str
    late: bool = False  # caught up
    asked_by: str = ""  # a person, also while the schedule is paused


@dataclass(frozen=True, slots=True)
class Fire:
    """An occasion and what became of it; a line that stays."""

    key: str
    due: float
    time: float
    outcome: Outcome
    sentence: str
    pipeline: str = ""


@dataclass(frozen=True, slots=True)
class Fresh:
    """Another listing of the data, and since when it is seen."""

    listing: str
    since: float


@dataclass(frozen=True, slots=True)
class Ask:
    """A person wants a pipeline now."""

    request_id: str
    actor: str
    time: float
    message: str = ""


@dataclass(frozen=True, slots=True)
class Schedule:
    """One schedule. Times are wall-clock seconds; 0 is never."""

    id: str
    spec: ScheduleSpec
    owner: str
    created: float = 0.0
    paused: bool = False
    paused_by: str = ""
    cursor: float = 0.0  # cron: every due time up to this one is decided
    digest: str = ""  # data: of the content that was last fired for; empty: none was seen yet
    listing: str = ""  # data: under which that content was seen last
    changes: int = 0  # data: how often it has fired
    fresh: Fresh | None = None
    handled: tuple[str, ...] = ()  # drift: alerts that were fired for, the latest
    cooled: float = 0.0  # drift: when it last fired
    asks: tuple[Ask, ...] = ()  # not decided yet
    queue: tuple[Occasion, ...] = ()

    @property
    def name(self) -> str:
        return f"schedules/{self.id}"

    @property
    def model(self) -> str:
        return self.spec.plan.model


_DOCUMENTS = TypeAdapter(Schedule)


def to_json(schedule: Schedule) -> str:
    """The schedule as it is stored."""
    return _DOCUMENTS.dump_json(schedule).decode()


def from_json(id: str, document: str) -> Schedule:
    """The schedule that was stored; INTERNAL for what another version of the trainer has written."""
    try:
        return _DOCUMENTS.validate_json(document)
    except ValidationError as error:
        message = f"the schedule {id} cannot be read; another version of the trainer may have written it"
        raise DomainError(Reason.INTERNAL, message) from error
