"""`bmase.trainer.v1.PipelineService`: decode, read or change what is kept, encode. The leader's loop does the rest."""

# ruff: noqa: N802 - methods bear the names of the contract

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import AsyncIterator
from typing import Any

from bmase.reasons import Reason
from bmase.trainer.v1 import pipeline_pb2 as pb
from bmase.trainer.v1 import pipeline_pb2_grpc

from services.kit import pages
from services.kit.decode import decode
from services.kit.errors import DomainError
from services.kit.filters import parse_filter
from services.kit.hub import Hub
from services.trainer.callers import caller
from services.trainer.pipelines import requests as rq
from services.trainer.pipelines import transitions as tr
from services.trainer.pipelines.jobs import Jobs
from services.trainer.pipelines.listing import FIELDS
from services.trainer.pipelines.records import PipelineRecords
from services.trainer.pipelines.report import event_message, pipeline_message
from services.trainer.pipelines.state import Pipeline

WATCH_SECONDS = 1.0
LONGEST_MODEL = 38  # within an id, which is also part of request ids
Context = Any


class PipelineServicer(pipeline_pb2_grpc.PipelineServiceServicer):
    """Any instance answers; only the leader acts."""

    def __init__(self, records: PipelineRecords, jobs: Jobs, news: Hub) -> None:
        self._records = records
        self._jobs = jobs
        self._news = news

    async def CreatePipeline(self, request: pb.CreatePipelineRequest, context: Context) -> pb.Pipeline:
        asked, actor = decode(rq.Create, request), caller()
        self._jobs.check(asked.plan.job)
        origin = asked.message or f"{actor} asked for it"
        made = tr.start(pipeline_id(asked), asked.plan, actor, time.time(), origin=origin)
        kept = await self._records.create(made)
        if kept.plan != asked.plan:
            message = f"the request_id {asked.request_id} was used for another pipeline; use a new one for each request"
            raise DomainError(Reason.REQUEST_REUSED, message, field="request_id")
        self._news.notify()
        return _told(kept)

    async def GetPipeline(self, request: pb.GetPipelineRequest, context: Context) -> pb.Pipeline:
        return _told(await self._records.get(decode(rq.Named, request).name))

    async def ListPipelines(self, request: pb.ListPipelinesRequest, context: Context) -> pb.ListPipelinesResponse:
        asked = decode(rq.List, request)
        identity = pages.identity("pipelines", asked.filter)
        last: Any = pages.after(asked.page_token, identity, (float, str))
        found, end = await self._records.listed(parse_filter(asked.filter, FIELDS), asked.page_size, last)
        token = pages.token(identity, end) if end else ""
        return pb.ListPipelinesResponse(pipelines=map(_told, found), next_page_token=token)

    async def CancelPipeline(self, request: pb.CancelPipelineRequest, context: Context) -> pb.Pipeline:
        asked, actor, now = decode(rq.Cancel, request), caller(), time.time()
        kept = await self._records.change(asked.name, lambda p: tr.cancel(p, now, actor, asked.message))
        self._news.notify()
        return _told(kept)

    async def WatchPipelines(self, request: pb.WatchPipelinesRequest, context: Context) -> AsyncIterator[pb.Pipeline]:
        asked = decode(rq.Watch, request)
        known: dict[str, Pipeline] = {}
        while True:
            count = self._news.count
            for pipeline in await self._look(asked, known):
                if known.get(pipeline.id) != pipeline:
                    known[pipeline.id] = pipeline
                    yield _told(pipeline)
                if pipeline.final:
                    del known[pipeline.id]
                    if asked.name:
                        return
            await self._news.wait(count, WATCH_SECONDS)

    async def ListPipelineEvents(
        self, request: pb.ListPipelineEventsRequest, context: Context
    ) -> pb.ListPipelineEventsResponse:
        asked = decode(rq.ListEvents, request)
        identity = pages.identity("pipeline events", asked.name)
        (start,) = pages.after(asked.page_token, identity, (int,)) or (0,)
        found = await self._records.history(asked.name, int(start), asked.page_size + 1)
        page, rest = found[: asked.page_size], found[asked.page_size :]
        token = pages.token(identity, (page[-1].number,)) if rest else ""
        return pb.ListPipelineEventsResponse(events=map(event_message, page), next_page_token=token)

    async def _look(self, asked: rq.Watch, known: dict[str, Pipeline]) -> list[Pipeline]:
        """What is asked for as it is now; those that were shown and have ended meanwhile, too."""
        if asked.name:
            return [await self._records.get(asked.name)]
        model = asked.model.model if asked.model else ""
        there = [p for p in await self._records.unfinished() if model in ("", p.model)]
        gone = known.keys() - {pipeline.id for pipeline in there}
        return [*there, *[await self._records.get(id) for id in sorted(gone)]]


def pipeline_id(asked: rq.Create) -> str:
    """Made of the request, if that has an id: then it is the same pipeline however often it is asked for."""
    drawn = hashlib.sha256(f"request {asked.request_id}".encode()).hexdigest() if asked.request_id else ""
    return f"{asked.plan.model[:LONGEST_MODEL].rstrip('._-')}-{(drawn or secrets.token_hex(8))[:16]}"


def _told(pipeline: Pipeline) -> pb.Pipeline:
    return pipeline_message(pipeline, time.time())
