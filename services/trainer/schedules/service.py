"""`bmase.trainer.v1.ScheduleService`: decode, read or change what is kept, encode. The leader's loop does the rest."""

# ruff: noqa: N802 - methods bear the names of the contract

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from typing import Any

from bmase.reasons import Reason
from bmase.trainer.v1 import schedule_pb2 as pb
from bmase.trainer.v1 import schedule_pb2_grpc

from services.kit import pages
from services.kit.decode import decode
from services.kit.errors import DomainError
from services.kit.filters import parse_filter
from services.kit.hub import Hub
from services.trainer.callers import caller
from services.trainer.pipelines.jobs import Jobs
from services.trainer.schedules import requests as rq
from services.trainer.schedules import transitions as tr
from services.trainer.schedules.decide import manual_pipeline
from services.trainer.schedules.observation import Alert, Seen
from services.trainer.schedules.records import FIELDS, ScheduleRecords
from services.trainer.schedules.report import etag, fire_message, schedule_message
from services.trainer.schedules.state import Schedule

Context = Any
Alerts = tuple[Alert, ...] | None


class ScheduleServicer(schedule_pb2_grpc.ScheduleServiceServicer):
    """Any instance answers; only the leader fires. `alerts` is what this instance knows of them."""

    def __init__(self, records: ScheduleRecords, jobs: Jobs, news: Hub, alerts: Callable[[], Alerts]) -> None:
        self._records = records
        self._jobs = jobs
        self._news = news
        self._alerts = alerts

    async def CreateSchedule(self, request: pb.CreateScheduleRequest, context: Context) -> pb.Schedule:
        asked, actor = decode(rq.Create, request), caller()
        spec = asked.spec
        self._jobs.check(spec.plan.job)
        made = tr.create(asked.schedule.name, spec, actor, time.time())
        return await self._told(await self._records.create(tr.pause(made, actor) if asked.schedule.paused else made))

    async def GetSchedule(self, request: pb.GetScheduleRequest, context: Context) -> pb.Schedule:
        return await self._told(await self._records.get(decode(rq.Named, request).name))

    async def ListSchedules(self, request: pb.ListSchedulesRequest, context: Context) -> pb.ListSchedulesResponse:
        asked = decode(rq.List, request)
        identity = pages.identity("schedules", asked.filter)
        (last,) = pages.after(asked.page_token, identity, (str,)) or ("",)
        found, end = await self._records.listed(parse_filter(asked.filter, FIELDS), asked.page_size, str(last))
        seen = await self._seen()
        return pb.ListSchedulesResponse(
            schedules=[schedule_message(schedule, seen) for schedule in found],
            next_page_token=pages.token(identity, (end,)) if end else "",
        )

    async def UpdateSchedule(self, request: pb.UpdateScheduleRequest, context: Context) -> pb.Schedule:
        asked, actor, now = decode(rq.Update, request), caller(), time.time()
        wish = asked.schedule
        if wish.plan is not None and "plan" in asked.update_fields:
            self._jobs.check(wish.plan.job)

        def change(before: Schedule) -> Schedule:
            _expect(before, wish.etag)
            after = tr.change(before, asked.spec(before.spec), now)
            if "paused" not in asked.update_fields:
                return after
            return tr.pause(after, actor) if wish.paused else tr.resume(after, now)

        return await self._told(await self._records.change(wish.name, change))

    async def DeleteSchedule(self, request: pb.DeleteScheduleRequest, context: Context) -> pb.DeleteScheduleResponse:
        asked = decode(rq.Delete, request)
        await self._records.delete(asked.name, lambda schedule: _expect(schedule, asked.etag))
        return pb.DeleteScheduleResponse()

    async def RunSchedule(self, request: pb.RunScheduleRequest, context: Context) -> pb.RunScheduleResponse:
        asked, actor = decode(rq.Run, request), caller()
        request_id = asked.request_id or secrets.token_hex(8)
        kept = await self._records.ask(asked.name, request_id, actor, time.time(), asked.message)
        self._news.notify()
        pipeline = f"pipelines/{manual_pipeline(kept, request_id)}"
        return pb.RunScheduleResponse(schedule=await self._told(kept), pipeline=pipeline)

    async def ListScheduleFires(
        self, request: pb.ListScheduleFiresRequest, context: Context
    ) -> pb.ListScheduleFiresResponse:
        asked = decode(rq.ListFires, request)
        identity = pages.identity("schedule fires", asked.name)
        last: Any = pages.after(asked.page_token, identity, (float, float, str))
        found = await self._records.fires(asked.name, asked.page_size + 1, last)
        page, rest = found[: asked.page_size], found[asked.page_size :]
        token = pages.token(identity, (page[-1].time, page[-1].due, page[-1].key)) if rest else ""
        return pb.ListScheduleFiresResponse(fires=map(fire_message, page), next_page_token=token)

    async def _told(self, schedule: Schedule) -> pb.Schedule:
        return schedule_message(schedule, await self._seen())

    async def _seen(self) -> Seen:
        return Seen(time.time(), alerts=self._alerts(), running=await self._records.running())


def _expect(schedule: Schedule, given: str) -> None:
    if given and given != etag(schedule):
        message = f"{schedule.name} was changed since it was read"
        raise DomainError(Reason.ETAG_MISMATCH, message, field="etag", hint="Read it again, then change it.")
