"""Calls of `bmase.trainer.v1.ScheduleService`."""

from __future__ import annotations

from collections.abc import Iterable

from bmase import names
from bmase.core.calls import Call, Listing
from bmase.core.registry import new_request_id
from bmase.trainer.v1 import schedule_pb2 as pb

SERVICE = "/bmase.trainer.v1.ScheduleService/"


def create(schedule: pb.Schedule) -> Call[pb.Schedule]:
    """Repeated with the same content it is the one that is there."""
    request = pb.CreateScheduleRequest(schedule=schedule, request_id=new_request_id())
    return Call(SERVICE + "CreateSchedule", request, pb.Schedule)


def get(schedule: str) -> Call[pb.Schedule]:
    """One schedule."""
    return Call(SERVICE + "GetSchedule", pb.GetScheduleRequest(name=names.schedule(schedule)), pb.Schedule)


def list_all(where: str, page_size: int) -> Listing[pb.Schedule]:
    """Schedules that match a filter, by name."""

    def page(token: str) -> Call[pb.ListSchedulesResponse]:
        request = pb.ListSchedulesRequest(filter=where, page_size=page_size, page_token=token)
        return Call(SERVICE + "ListSchedules", request, pb.ListSchedulesResponse)

    return Listing(page, "schedules")


def update(schedule: pb.Schedule, fields: Iterable[str]) -> Call[pb.Schedule]:
    """Changes these fields: plan, trigger, overlap, paused. An etag in the schedule has to match."""
    request = pb.UpdateScheduleRequest(schedule=schedule, update_fields=fields)
    return Call(SERVICE + "UpdateSchedule", request, pb.Schedule)


def pause(schedule: str, paused: bool) -> Call[pb.Schedule]:
    """It fires only when asked, or goes on from here."""
    return update(pb.Schedule(name=names.schedule(schedule), paused=paused), ["paused"])


def delete(schedule: str, etag: str) -> Call[pb.DeleteScheduleResponse]:
    """Its pipelines stay and go on."""
    request = pb.DeleteScheduleRequest(name=names.schedule(schedule), etag=etag)
    return Call(SERVICE + "DeleteSchedule", request, pb.DeleteScheduleResponse)


def run(schedule: str, message: str) -> Call[pb.RunScheduleResponse]:
    """A pipeline now."""
    request = pb.RunScheduleRequest(name=names.schedule(schedule), message=message, request_id=new_request_id())
    return Call(SERVICE + "RunSchedule", request, pb.RunScheduleResponse)


def fires(schedule: str, page_size: int) -> Listing[pb.ScheduleFire]:
    """What there was to fire for, and what became of it; latest first."""

    def page(token: str) -> Call[pb.ListScheduleFiresResponse]:
        request = pb.ListScheduleFiresRequest(name=names.schedule(schedule), page_size=page_size, page_token=token)
        return Call(SERVICE + "ListScheduleFires", request, pb.ListScheduleFiresResponse)

    return Listing(page, "fires")
