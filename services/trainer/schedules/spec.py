"""What a schedule is asked to do: bounds and defaults, in this one place."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from functools import lru_cache
from typing import Annotated, Any, Literal

from bmase.trainer.v1 import schedule_pb2 as pb
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from services.kit.decode import refuse
from services.trainer.pipelines.plan import Plan
from services.trainer.schedules.cron import LONGEST, Cron

DAY = 86_400.0
COOL_DOWN = 21_600.0
SETTLE = 300.0
LIMIT = 10

_cron = lru_cache(maxsize=1024)(Cron)


class CatchUp(StrEnum):
    """Which due times count that nobody saw in time, because nobody led or the clock jumped."""

    NONE = "none"
    LAST = "last"  # the latest one, unless one that is due in time comes along: that does its work
    ALL = "all"  # the latest `limit`


class Overlap(StrEnum):
    """What a fire does while an earlier pipeline of the schedule still runs."""

    SKIP = "skip"
    QUEUE = "queue"  # one waits; of times that are caught up, as many as the limit
    CANCEL = "cancel"  # the running one is stopped; the new one starts when it has gone, the latest only


def _in_seconds(value: object) -> object:
    return value.total_seconds() if isinstance(value, timedelta) else value


def _or(default: Any) -> AfterValidator:
    """proto3 cannot tell 0 from absent: 0 is the default."""
    return AfterValidator(lambda value: value or default)


def _word(known: dict[int, Any]) -> BeforeValidator:
    """A value of the contract's enum, or the word that is stored."""
    return BeforeValidator(lambda value: known.get(value, value) if isinstance(value, int) else value)


_CATCH_UPS = {
    pb.CronTrigger.CATCH_UP_UNSPECIFIED: CatchUp.LAST,
    pb.CronTrigger.CATCH_UP_NONE: CatchUp.NONE,
    pb.CronTrigger.CATCH_UP_LAST: CatchUp.LAST,
    pb.CronTrigger.CATCH_UP_ALL: CatchUp.ALL,
}
_OVERLAPS = {
    pb.Schedule.OVERLAP_UNSPECIFIED: Overlap.QUEUE,
    pb.Schedule.OVERLAP_SKIP: Overlap.SKIP,
    pb.Schedule.OVERLAP_QUEUE: Overlap.QUEUE,
    pb.Schedule.OVERLAP_CANCEL: Overlap.CANCEL,
}
Seconds = Annotated[float, BeforeValidator(_in_seconds)]
AnyCatchUp = Annotated[CatchUp, _word(_CATCH_UPS)]
AnyOverlap = Annotated[Overlap, _word(_OVERLAPS)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class CronTrigger(_Part):
    """Times. `jitter`: each schedule has its own delay of up to so many seconds, always the same one."""

    kind: Literal["cron"] = "cron"
    expression: str = Field(max_length=LONGEST)
    zone: Annotated[str, Field(max_length=64), _or("UTC")] = "UTC"
    jitter: Seconds = Field(default=0.0, ge=0, le=DAY, allow_inf_nan=False)
    catch_up: AnyCatchUp = CatchUp.LAST
    limit: Annotated[int, Field(ge=0, le=100), _or(LIMIT)] = LIMIT

    @model_validator(mode="after")
    def _readable(self) -> CronTrigger:
        try:
            _cron(self.expression, self.zone)
        except ValueError as error:
            raise refuse("cron", str(error)) from error
        return self

    @property
    def cron(self) -> Cron:
        return _cron(self.expression, self.zone)


class DataTrigger(_Part):
    """The job's data has another content, and its listing is the same for `settle` seconds: uploads take their time."""

    kind: Literal["data"] = "data"
    settle: Seconds = Field(default=SETTLE, ge=0, le=7 * DAY, allow_inf_nan=False)


class DriftTrigger(_Part):
    """The monitor has an open alert about the job's model.

    `version` 0 is any, no `kinds` is any (of the monitor's: drift, quality, outcomes). For `cool_down` seconds after a
    fire there is no other; alerts that are still open then count.
    """

    kind: Literal["drift"] = "drift"
    version: int = Field(default=0, ge=0, le=2**31 - 1)
    kinds: tuple[Annotated[str, Field(min_length=1, max_length=32)], ...] = Field(default=(), max_length=8)
    cool_down: Seconds = Field(default=COOL_DOWN, ge=0, le=365 * DAY, allow_inf_nan=False)


class ManualTrigger(_Part):
    """Only when somebody asks. That, every schedule can be."""

    kind: Literal["manual"] = "manual"


Trigger = Annotated[CronTrigger | DataTrigger | DriftTrigger | ManualTrigger, Field(discriminator="kind")]


class ScheduleSpec(_Part):
    """The whole wish."""

    plan: Plan
    trigger: Trigger = ManualTrigger()
    overlap: AnyOverlap = Overlap.QUEUE

    def model_post_init(self, _: Any) -> None:
        if isinstance(self.trigger, DataTrigger) and not self.plan.job.data:
            raise refuse("trigger", "must be another one: the job names no data that could change")
