"""ReplaySamples: the latest kept requests to both versions, a few at a time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import grpc
import structlog
from bmase.monitor.v1 import monitor_pb2 as pb
from bmase.reasons import Reason
from tritonclient.grpc import service_pb2

from services.kit.config import ServiceSettings
from services.kit.consul import Consul
from services.kit.errors import DomainError
from services.monitor.oip import Malformed, Side, grpc_message
from services.monitor.oip import read as read_message
from services.monitor.replay.compare import disagree
from services.monitor.replay.gateway import CALL_SECONDS, Answer, GatewayCalls
from services.monitor.replay.tally import Round, Tally
from services.monitor.samples.model import Query, Sample
from services.monitor.samples.store import SampleStore

log = structlog.get_logger(__name__)

DEFAULT_COUNT = 200
DEFAULT_TOLERANCE = 0.001
AT_ONCE = 2  # rounds; traffic has the nodes to itself but for these
PAGE = 256  # in memory at a time, which a model's cap on kept bytes bounds too
PROGRESS_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Asked:
    """What is replayed; 0 stands for the default."""

    model: str
    stable: int
    candidate: int
    count: int = 0
    tolerance: float = 0.0
    label_output: str = ""


class Replay:
    """Replays from one store through whatever gateway answers."""

    def __init__(self, store: SampleStore, consul: Consul, settings: ServiceSettings) -> None:
        self._store, self._consul, self._settings = store, consul, settings

    async def run(self, asked: Asked) -> AsyncIterator[pb.ReplaySamplesResponse]:
        """Progress, and last the whole result. Who stops reading stops the replay."""
        total = await self._store.count(Query(asked.model, replayable=True, limit=asked.count or DEFAULT_COUNT))
        tally = Tally(total)
        if total:
            async with GatewayCalls(self._consul, self._settings) as calls:
                told = time.monotonic()
                async for one in self._rounds(asked, total, calls, tally):
                    tally.add(one)
                    if time.monotonic() - told >= PROGRESS_SECONDS:
                        told = time.monotonic()
                        yield tally.message()
        tally.total = tally.done  # samples may have expired meanwhile
        yield tally.message()

    async def _rounds(self, asked: Asked, total: int, calls: GatewayCalls, tally: Tally) -> AsyncIterator[Round]:
        running: set[asyncio.Task[Round]] = set()
        turn = 0
        try:
            async for sample in self._samples(asked.model, total):
                turn += 1
                running.add(
                    asyncio.create_task(_round(asked, sample, calls, tally.patience, candidate_first=turn % 2 == 0))
                )
                if len(running) >= AT_ONCE:
                    done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                    for task in done:
                        yield task.result()
            while running:
                done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    yield task.result()
        finally:
            for task in running:
                task.cancel()

    async def _samples(self, model: str, total: int) -> AsyncIterator[Sample]:
        """The latest samples, a page at a time, so that only a page is in memory."""
        before, left = "", total
        while left > 0:
            query = Query(model, replayable=True, before=before, limit=min(PAGE, left), raw=True)
            page = await self._store.page(query)
            for sample in page:
                yield sample
            if len(page) < query.limit:
                return
            before, left = page[-1].id, left - len(page)


async def _round(asked: Asked, sample: Sample, calls: GatewayCalls, patience: float, *, candidate_first: bool) -> Round:
    """One request to both versions, one after the other, taking turns: neither has warmer caches than the other."""
    name = sample.request_id or sample.id
    try:
        request = _request(asked.model, sample)
    except Malformed:
        return Round(name, 0.0, 0.0, stable_failed=True, candidate_failed=False, disagreed=False)
    order = (asked.candidate, asked.stable) if candidate_first else (asked.stable, asked.candidate)
    answers: dict[int, Answer] = {}
    for version in order:
        waits = patience if version == asked.candidate else CALL_SECONDS
        answers[version] = await calls.infer(request, version, waits)
        _check_served(asked.model, version, answers[version])
    stable, candidate = answers[asked.stable], answers[asked.candidate]
    failed = stable.failed, candidate.failed
    differ = not any(failed) and _disagree(asked, stable.data, candidate.data)
    return Round(name, stable.duration_ms, candidate.duration_ms, *failed, differ)


def _request(model: str, sample: Sample) -> Any:
    """The sample's request as gRPC asks it, whatever door it came by."""
    if sample.protocol == "grpc":
        return grpc_message.parse(service_pb2.ModelInferRequest, sample.raw)
    return grpc_message.request_of(model, read_message(sample.protocol, Side.REQUEST, sample.raw))


def _disagree(asked: Asked, stable: bytes, candidate: bytes) -> bool:
    """An answer that cannot be read agrees with nothing."""
    try:
        left, right = (grpc_message.read_response(data).tensors for data in (stable, candidate))
    except Malformed:
        return True
    return disagree(left, right, asked.tolerance or DEFAULT_TOLERANCE, asked.label_output)


def _check_served(model: str, version: int, answer: Answer) -> None:
    """A version that nobody serves is no version that fails."""
    if answer.code is grpc.StatusCode.NOT_FOUND:
        raise DomainError(
            Reason.VERSION_NOT_DEPLOYED,
            f"version {version} of '{model}' is not served: {answer.words}",
            hint=f"bmase deploy {model} {version}",
        )
