"""A trainer without an engine: its jobs advance when a test says so."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, TypeVar

import grpc
from bmase.trainer.v1 import pipeline_pb2, schedule_pb2
from bmase.trainer.v1.pipeline_pb2_grpc import PipelineServiceStub
from bmase.trainer.v1.schedule_pb2_grpc import ScheduleServiceStub
from prometheus_client import CollectorRegistry

from services.kit.client import ServiceClients
from services.kit.config import ServiceSettings
from services.kit.consul import Consul
from services.kit.database import Database
from services.kit.server import GrpcServer
from services.trainer.jobs import transitions as tr
from services.trainer.jobs.records import JobRecords
from services.trainer.jobs.spec import Spec
from services.trainer.jobs.state import GateResult, Job, Outcome, Phase
from services.trainer.pipelines.assembly import Pace, assemble
from services.trainer.pipelines.jobs import RecordedJobs

DIGEST = "sha256:" + "a" * 64
PACE = Pace(tick=0.1, alerts=0.1, data=0.1)
Found = TypeVar("Found")
P = pipeline_pb2.Pipeline


class Trainer:
    """The services of schedules and pipelines with what leads them, as one process would have them."""

    def __init__(self, consul: Consul, database: Database, folder: Path) -> None:
        self._consul, self._database, self._folder = consul, database, folder
        self.records = JobRecords(database)
        self.registry = CollectorRegistry()

    async def __aenter__(self) -> Trainer:
        self._stack = AsyncExitStack()
        settings = ServiceSettings(data_dir=self._folder, instance="trainer1", drain_seconds=0)
        clients = await self._stack.enter_async_context(ServiceClients(self._consul, settings))
        jobs = RecordedJobs(self.records, check=_any, create=self._create)
        registrations = assemble(
            self._stack, consul=self._consul, clients=clients, database=self._database, jobs=jobs,
            registry=self.registry, pace=PACE,
        )  # fmt: skip
        server = await self._stack.enter_async_context(GrpcServer(settings, "trainer", registrations))
        channel = await self._stack.enter_async_context(grpc.aio.insecure_channel(server.address))
        self.pipelines, self.schedules = PipelineServiceStub(channel), ScheduleServiceStub(channel)
        return self

    async def __aexit__(self, *error: Any) -> None:
        await self._stack.aclose()

    async def _create(self, records: JobRecords, spec: Spec, request_id: str) -> Job:
        now = time.time()
        return await records.create(Job(f"j-{time.time_ns()}", spec, spec.owner, now, since=now), (request_id, "f"))

    async def job(self, pipeline: str) -> str:
        """The id of its job, once it has one."""
        found = await until(lambda: self.get(pipeline), lambda p: p.job, "a job")
        return str(found.job.removeprefix("jobs/"))

    async def trains(self, job: str) -> None:
        await self.records.change(job, lambda j: tr.prepared(tr.begin(j, 1.0, {"here": 1}), 1, 2.0))

    async def trained(self, job: str) -> None:
        await self.records.change(job, lambda j: tr.trained(j, 1, 3.0, DIGEST))

    async def evaluated(self, job: str, gate: Outcome = Outcome.PASSED) -> None:
        results = [GateResult("accuracy >= 0.9", gate, "0.87 (0.85 to 0.89)")]
        await self.records.change(job, lambda j: tr.evaluated(j, 1, 4.0, results))

    async def registered(self, job: str, version: int) -> None:
        await self.records.change(job, lambda j: tr.registered(j, 1, 5.0, version))

    async def makes(self, job: str, version: int, gate: Outcome = Outcome.PASSED) -> None:
        """From waiting to the version, in one go."""
        await self.trains(job)
        await self.trained(job)
        await self.evaluated(job, gate)
        await self.registered(job, version)

    async def starts(self, request_id: str = "", **plan: Any) -> Any:
        request = pipeline_pb2.CreatePipelineRequest(plan=wish(**plan), request_id=request_id)
        return await self.pipelines.CreatePipeline(request)

    async def get(self, name: str) -> Any:
        return await self.pipelines.GetPipeline(pipeline_pb2.GetPipelineRequest(name=name))

    async def reaches(self, name: str, state: Any) -> Any:
        return await until(lambda: self.get(name), lambda p: p.state == state, P.State.Name(state))

    async def events(self, name: str) -> list[str]:
        asked = pipeline_pb2.ListPipelineEventsRequest(name=name)
        return [event.kind for event in (await self.pipelines.ListPipelineEvents(asked)).events]

    async def fires(self, name: str) -> list[Any]:
        asked = schedule_pb2.ListScheduleFiresRequest(name=name)
        return list((await self.schedules.ListScheduleFires(asked)).fires)

    async def phase(self, job: str) -> Phase:
        return (await self.records.get(job)).phase


def wish(**fields: Any) -> pipeline_pb2.PipelinePlan:
    """A job for the model digits, and these fields."""
    plan = pipeline_pb2.PipelinePlan(**fields)
    plan.job.model, plan.job.recipe = "models/digits", "tabular"
    return plan


async def until(
    look: Callable[[], Awaitable[Found]], good: Callable[[Found], Any], what: str, timeout: float = 60
) -> Found:
    """What is found once it is good."""
    last: Any = None
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(timeout):
            while True:
                last = await look()
                if good(last):
                    return last  # type: ignore[no-any-return]
                await asyncio.sleep(0.05)
    raise AssertionError(f"no {what} within {timeout} s but {last}")


def _any(_: Spec) -> None:
    """Every recipe is one."""


@contextlib.asynccontextmanager
async def trainer(consul: Consul, database: Database, folder: Path) -> AsyncIterator[Trainer]:
    """One instance, for as long as the block."""
    async with Trainer(consul, database, folder) as running:
        yield running
