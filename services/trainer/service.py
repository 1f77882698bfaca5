"""`bmase.trainer.v1.TrainerService`: decode, read or change the records, encode. The leader's loop does the rest."""

# ruff: noqa: N802 - methods bear the names of the contract

from __future__ import annotations

import hashlib
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from bmase.trainer.v1 import trainer_pb2 as pb
from bmase.trainer.v1 import trainer_pb2_grpc

from services.kit.decode import decode
from services.kit.errors import InvalidArgument, Violation
from services.kit.filters import parse_filter
from services.kit.hub import Hub
from services.trainer.callers import SOMEBODY, caller
from services.trainer.engine import locks
from services.trainer.evaluation.gates.parse import parse_all
from services.trainer.jobs import requests as rq
from services.trainer.jobs import transitions
from services.trainer.jobs.events import Kind, StateChange
from services.trainer.jobs.journal import JobJournal
from services.trainer.jobs.listing import LASTING_FIELDS
from services.trainer.jobs.records import JobRecords
from services.trainer.jobs.report import event_message, job_message, point_message
from services.trainer.jobs.spec import Spec
from services.trainer.jobs.state import FINAL, Job
from services.trainer.loop import Loop
from services.trainer.recipes.catalogue import by_name
from services.trainer.search import take

WATCH_SECONDS = 1.0
PAGE = 200
Context = Any


class TrainerServicer(trainer_pb2_grpc.TrainerServiceServicer):
    """Any instance answers; only the leader runs jobs."""

    def __init__(
        self, records: JobRecords, journal: JobJournal, hub: Hub, loop: Loop, look_at: Callable[[Spec], Awaitable[None]]
    ) -> None:
        """`look_at`: at what a job names elsewhere, before it is made; raises what is wrong with it."""
        self._records, self._journal, self._hub, self._loop = records, journal, hub, loop
        self._look_at = look_at

    async def CreateJob(self, request: pb.CreateJobRequest, context: Context) -> pb.Job:
        asked = decode(rq.Create, request)
        await self._look_at(asked.job)
        job = await create(self._records, asked.job, asked.request_id, caller())
        self._hub.notify()
        return self._told(job)

    async def GetJob(self, request: pb.GetJobRequest, context: Context) -> pb.Job:
        return self._told(await self._records.get(decode(rq.Named, request).name))

    async def ListJobs(self, request: pb.ListJobsRequest, context: Context) -> pb.ListJobsResponse:
        found, token = await self._records.listed(decode(rq.List, request))
        return pb.ListJobsResponse(jobs=map(self._told, found), next_page_token=token)

    async def CancelJob(self, request: pb.CancelJobRequest, context: Context) -> pb.Job:
        asked, now = decode(rq.Cancel, request), time.time()
        who = caller()
        job = await self._records.change(asked.name, lambda job: transitions.cancel(job, now, who, asked.message))
        self._hub.notify()
        return self._told(job)

    async def WatchJobs(self, request: pb.WatchJobsRequest, context: Context) -> AsyncIterator[pb.WatchJobsResponse]:
        asked = decode(rq.WatchAll, request)
        terms = parse_filter(asked.filter, LASTING_FIELDS)
        revision, end, told = asked.from_revision, await self._records.revision(), False
        while True:
            count = self._hub.count
            while page := await self._records.changed(revision, terms, PAGE):
                for revision, job in page:
                    yield pb.WatchJobsResponse(revision=revision, job=self._told(job))
            if not told:
                yield pb.WatchJobsResponse(revision=max(revision, end))
                revision, told = max(revision, end), True
            await self._hub.wait(count, WATCH_SECONDS)

    async def WatchJob(self, request: pb.WatchJobRequest, context: Context) -> AsyncIterator[pb.JobEvent]:
        asked = decode(rq.Watch, request)
        offset = asked.from_offset
        while True:
            count = self._hub.count
            # Read before the events: what is said before the end is told before the end is noticed.
            over = (await self._records.get(asked.name)).final
            while events := await self._journal.read(asked.name, offset, asked.wanted | {Kind.STATE}, PAGE):
                for event in events:
                    offset = event.offset
                    if event.kind in asked.wanted:
                        yield event_message(event)
                    if isinstance(event.body, StateChange) and event.body.phase in FINAL:
                        return
            if over:
                return
            await self._hub.wait(count, WATCH_SECONDS)

    async def ListMetrics(self, request: pb.ListMetricsRequest, context: Context) -> pb.ListMetricsResponse:
        points, token = await self._journal.metrics(decode(rq.ListMetrics, request))
        return pb.ListMetricsResponse(points=map(point_message, points), next_page_token=token)

    def _told(self, job: Job) -> pb.Job:
        return job_message(job, time.time(), self._loop.waits.get(job.id))


async def create(records: JobRecords, spec: Spec, request_id: str = "", owner: str = SOMEBODY) -> Job:
    """Keeps a new job; also for those who make jobs without a call. InvalidArgument, REQUEST_REUSED."""
    check(spec)
    job = Job(id=_new_id(), spec=spec, owner=spec.owner or owner, created=time.time(), since=time.time())
    return await records.create(job, (request_id, _fingerprint(spec)))


def check(spec: Spec) -> None:
    """What can be known before anything is done: recipe, parameters, sources, gates."""
    parse_all(spec.gates)
    locks.may_have_one(spec)
    if spec.bundle is not None:
        take(spec.parameters)
        return
    recipe = by_name(spec.recipe)
    own, wish = take(spec.parameters, recipe.parameters)
    if wish is None:
        recipe.check(own)
    given = {source.name for source in spec.data}
    if absent := [name for name in recipe.sources if name not in given]:
        raise InvalidArgument([Violation("job.data", f"the recipe {recipe.name} needs a source named {absent[0]!r}")])
    if spec.resources.workers > recipe.most_workers:
        words = f"the recipe {recipe.name} works with at most {recipe.most_workers}"
        raise InvalidArgument([Violation("job.resources.workers", words)])


def _new_id() -> str:
    """Sorts by time; its beginning is what people see."""
    return f"{int(time.time() * 1000):011x}{uuid.uuid4().hex[:7]}"


def _fingerprint(spec: Spec) -> str:
    return hashlib.sha256(spec.model_dump_json().encode()).hexdigest()
