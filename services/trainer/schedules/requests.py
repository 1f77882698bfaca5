"""The bounds of the calls about schedules; a schedule's own are in `spec`."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from services.kit.decode import PageSize, PageToken, RequestId, refuse
from services.kit.errors import InvalidArgument, Violation
from services.trainer.pipelines.plan import Plan
from services.trainer.pipelines.requests import Sentence
from services.trainer.schedules.spec import (
    AnyOverlap,
    CronTrigger,
    DataTrigger,
    DriftTrigger,
    ManualTrigger,
    Overlap,
    ScheduleSpec,
    Trigger,
)

UPDATABLE = ("plan", "trigger", "overlap", "paused")
_NAME = re.compile(r"schedules/([a-z0-9](?:[a-z0-9._-]{0,61}[a-z0-9])?)")


def _schedule(value: object) -> object:
    found = _NAME.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        rule = "must be 'schedules/{id}'; the id 1 to 63 of a-z, 0-9, '.', '_', '-', beginning and ending with a-z, 0-9"
        raise refuse("schedule_resource", rule)
    return found[1]


def _update_fields(value: tuple[str, ...]) -> tuple[str, ...]:
    known = ", ".join(UPDATABLE)
    if not value:
        raise refuse("update_fields", f"must name what shall change: {known}")
    if unknown := set(value) - set(UPDATABLE):
        raise refuse("update_fields", f"{sorted(unknown)[0][:40]!r} cannot be changed; only {known} can")
    return value


ScheduleId = Annotated[str, BeforeValidator(_schedule)]
Etag = Annotated[str, Field(max_length=64)]


class _Request(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Wish(_Request):
    """What a caller may say of a schedule."""

    name: ScheduleId
    plan: Plan | None = None
    cron: CronTrigger | None = None
    data: DataTrigger | None = None
    drift: DriftTrigger | None = None
    overlap: AnyOverlap = Overlap.QUEUE
    paused: bool = False
    etag: Etag = ""

    @property
    def trigger(self) -> Trigger:
        """The one that is set; without one it fires only when asked."""
        return self.cron or self.data or self.drift or ManualTrigger()


class Create(_Request):
    schedule: Wish
    request_id: RequestId = ""

    @property
    def spec(self) -> ScheduleSpec:
        """Raises InvalidArgument."""
        if self.schedule.plan is None:
            raise InvalidArgument([Violation("schedule.plan", "must be set: the job that makes a version")])
        return checked(self.schedule.plan, self.schedule.trigger, self.schedule.overlap)


class Named(_Request):
    """GetSchedule."""

    name: ScheduleId


class List(_Request):
    page_size: PageSize = 0
    page_token: PageToken = ""
    filter: Annotated[str, Field(max_length=2000)] = ""


class Update(_Request):
    schedule: Wish
    update_fields: Annotated[tuple[str, ...], Field(max_length=10), AfterValidator(_update_fields)]

    @model_validator(mode="after")
    def _plan_is_there(self) -> Update:
        if "plan" in self.update_fields and self.schedule.plan is None:
            raise refuse("plan", "schedule.plan must be set when it is named in update_fields")
        return self

    def spec(self, before: ScheduleSpec) -> ScheduleSpec:
        """What is asked for from now on. Raises InvalidArgument."""
        wish, named = self.schedule, set(self.update_fields)
        plan = wish.plan if "plan" in named and wish.plan else before.plan
        trigger = wish.trigger if "trigger" in named else before.trigger
        return checked(plan, trigger, wish.overlap if "overlap" in named else before.overlap)


class Delete(_Request):
    name: ScheduleId
    etag: Etag = ""


class Run(_Request):
    name: ScheduleId
    request_id: RequestId = ""
    message: Sentence = ""


class ListFires(_Request):
    name: ScheduleId
    page_size: PageSize = 0
    page_token: PageToken = ""


def checked(plan: Plan, trigger: Trigger, overlap: Overlap) -> ScheduleSpec:
    """The whole wish, whose parts have to fit together. Raises InvalidArgument."""
    try:
        return ScheduleSpec(plan=plan, trigger=trigger, overlap=overlap)
    except ValidationError as error:
        raise InvalidArgument([Violation("schedule", item["msg"]) for item in error.errors()]) from None
