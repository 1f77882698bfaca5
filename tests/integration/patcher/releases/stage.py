"""The two peers of a release that have to be told what to do: a gateway that can hold a call back, and a monitor.

The gateway keeps routes in the real Consul and decides about the lock with the real gateway's own rules; it has no
Envoy. The monitor is scripted, because it has to lie, to hang and to fall silent; it speaks through real gRPC. That the
real ones do the same is what the tests of the whole suite are for.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import grpc
from bmase.gateway.v1 import route_pb2
from bmase.monitor.v1 import evidence_pb2, monitor_pb2, monitor_pb2_grpc
from bmase.reasons import Reason

from services.gateway.documents import RouteDocument, Weighted
from services.gateway.lock import Hold, held
from services.kit.config import ServiceSettings
from services.kit.consul import Consul
from services.kit.consul.documents import GATEWAYS, PLACEMENTS, ROUTES
from services.kit.errors import DomainError
from services.kit.server import GrpcServer, Registration
from services.patcher.documents import GatewayReport
from tests.integration.patcher.platform import Gateway

E = evidence_pb2.Evidence
SPEAKS_EVERY = 0.2


@dataclass(frozen=True)
class Write:
    """One call that changes weights, as it arrived."""

    at: float
    model: str
    weights: dict[int, int]
    release: str
    fence: int
    refused: str = ""

    @property
    def percent(self) -> dict[int, float]:
        total = sum(self.weights.values())
        return {version: 100 * weight / total for version, weight in self.weights.items()}


def shares(writes: list[Write], version: int) -> list[float]:
    """The candidate's share over time, without repetitions."""
    shares: list[float] = []
    for write in writes:
        share = write.percent.get(version, 0.0)
        if not shares or shares[-1] != share:
            shares.append(share)
    return shares


class LockedGateway(Gateway):
    """With weights, a lock and a fence. `before` may hold a call back; `deaf` applies nothing."""

    def __init__(self, consul_url: str, data: Path, name: str = "gw1") -> None:
        super().__init__(consul_url, data, name)
        self.writes: list[Write] = []
        self.before: Callable[[Write], Awaitable[None]] | None = None
        self._indices = {PLACEMENTS: 0, ROUTES: 0}

    async def _follow(self) -> None:
        await asyncio.gather(*(self._follow_one(prefix) for prefix in self._indices))

    async def _follow_one(self, prefix: str) -> None:
        async for listing in self.consul.watch(prefix):
            while self.deaf:
                await asyncio.sleep(0.05)
            self._indices[prefix] = listing.index
            report = GatewayReport(
                epoch=listing.epoch, placements_index=self._indices[PLACEMENTS], routes_index=self._indices[ROUTES]
            )
            with contextlib.suppress(DomainError):
                await self.consul.kv.put(GATEWAYS + self.name, report.encode())

    def of(self, model: str) -> list[Write]:
        return [write for write in self.writes if write.model == model]

    async def stored(self, model: str) -> RouteDocument:
        entry = await self.consul.kv.get(ROUTES + model)
        if entry is None:
            raise DomainError(Reason.ROUTE_NOT_FOUND, f"{model} has no route")
        return RouteDocument.model_validate_json(entry.value)

    async def GetRoute(self, request: route_pb2.GetRouteRequest, context: Any) -> route_pb2.Route:
        stored = await self.stored(request.name.removeprefix("routes/"))
        versions = [route_pb2.WeightedVersion(version=v.version, weight=v.weight) for v in stored.versions]
        return route_pb2.Route(name=request.name, versions=versions)

    async def UpdateRoute(self, request: route_pb2.UpdateRouteRequest, context: Any) -> route_pb2.Route:
        weights = {entry.version: entry.weight for entry in request.route.versions}
        hold = Hold(request.release, request.fence, request.end_release)
        await self._write(request.route.name.removeprefix("routes/"), weights, hold, create=request.allow_missing)
        return request.route

    async def SetWeights(self, request: route_pb2.SetWeightsRequest, context: Any) -> route_pb2.Route:
        weights = {entry.version: entry.weight for entry in request.versions}
        hold = Hold(request.release, request.fence, request.end_release)
        writing = asyncio.create_task(self._written(request.name.removeprefix("routes/"), weights, hold))
        # A call that was taken is carried out, whatever becomes of its caller.
        if refusal := await asyncio.shield(writing):
            raise refusal
        return route_pb2.Route(name=request.name)

    async def _written(self, model: str, weights: dict[int, int], hold: Hold) -> DomainError | None:
        try:
            await self._write(model, weights, hold, merge=True)
        except DomainError as error:
            return error
        return None

    async def _write(
        self, model: str, weights: dict[int, int], hold: Hold, *, create: bool = False, merge: bool = False
    ) -> None:
        write = Write(time.time(), model, weights, hold.release, hold.fence)
        if self.before is not None:
            await self.before(write)
        try:
            before = await self.stored(model) if not create else None
            if merge and before is not None:
                weights = {**{entry.version: 0 for entry in before.versions}, **weights}
            versions = tuple(Weighted(version=v, weight=w) for v, w in sorted(weights.items()))
            after = held(model, before, RouteDocument(versions=versions), hold)
        except DomainError as error:
            self.writes.append(Write(write.at, model, write.weights, hold.release, hold.fence, error.reason.value))
            raise
        self.writes.append(write)
        await self.consul.kv.put(ROUTES + model, after.encode())


@dataclass
class Mood:
    """What the monitor says of a comparison, again and again. Without a verdict it is silent; the stream stays open."""

    verdict: int | None = E.VERDICT_HOLD
    reason: str = "NO_DATA"
    message: str = "no data"
    requests: int = 0
    grows: int = 100  # requests with each message
    age: float = 0.0
    news: asyncio.Event = field(default_factory=asyncio.Event)
    said_at: float = 0.0  # when it said this for the first time


class ScriptedMonitor(monitor_pb2_grpc.MonitorServiceServicer):
    """`moods` by model; `replays` is what ReplaySamples answers."""

    def __init__(self, consul_url: str, data: Path) -> None:
        self.moods: dict[str, Mood] = {}
        self.comparisons: dict[str, monitor_pb2.Comparison] = {}
        self.started: list[str] = []
        self.ended: list[str] = []
        self.replays = monitor_pb2.ReplaySamplesResponse(total=0)
        self.replay_seconds = 0.0
        self.speaks_every = SPEAKS_EVERY
        self._url = consul_url
        self._settings = ServiceSettings(data_dir=data, instance="monitor1", drain_seconds=0)

    async def __aenter__(self) -> Self:
        self.consul = Consul(self._url)
        added = Registration(
            monitor_pb2_grpc.add_MonitorServiceServicer_to_server, self, "bmase.monitor.v1.MonitorService"
        )
        self._server = GrpcServer(self._settings, "monitor", [added], consul=self.consul)
        await self._server.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._server.stop()
        await self.consul.close()

    def says(self, model: str, verdict: int | None, reason: str = "", **changes: Any) -> Mood:
        """From now on, and at once."""
        mood = self.moods.setdefault(model, Mood())
        mood.verdict, mood.reason, mood.message = verdict, reason, changes.pop("message", reason)
        for name, value in changes.items():
            setattr(mood, name, value)
        mood.said_at = 0.0
        mood.news.set()
        return mood

    def good(self, model: str) -> Mood:
        return self.says(model, E.VERDICT_PROMOTE, "GOOD", message="at most 0.3 % worse")

    def bad(self, model: str, reason: str = "BAD_ERRORS") -> Mood:
        return self.says(model, E.VERDICT_ROLLBACK, reason, message="9.7 % of requests fail, 0.4 % at the stable one")

    async def StartComparison(
        self, request: monitor_pb2.StartComparisonRequest, context: Any
    ) -> monitor_pb2.Comparison:
        name = request.comparison.name
        self.started.append(name)
        known = self.comparisons.setdefault(name, request.comparison)
        if known != request.comparison:
            raise DomainError(Reason.COMPARISON_EXISTS, f"{name} judges something else")
        return known

    async def WatchComparison(
        self, request: monitor_pb2.WatchComparisonRequest, context: Any
    ) -> AsyncIterator[monitor_pb2.Comparison]:
        known = self.comparisons.get(request.name)
        if known is None:
            raise DomainError(Reason.COMPARISON_NOT_FOUND, f"there is no {request.name}")
        mood = self.moods.setdefault(known.model.removeprefix("models/"), Mood())
        while True:
            mood.news.clear()
            if mood.verdict is not None:
                mood.requests += mood.grows
                mood.said_at = mood.said_at or time.time()
                yield _said(known, mood)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self.speaks_every):
                    await mood.news.wait()

    async def GetComparison(self, request: monitor_pb2.GetComparisonRequest, context: Any) -> monitor_pb2.Comparison:
        if request.name not in self.comparisons:
            raise DomainError(Reason.COMPARISON_NOT_FOUND, f"there is no {request.name}")
        return self.comparisons[request.name]

    async def EndComparison(self, request: monitor_pb2.EndComparisonRequest, context: Any) -> monitor_pb2.Comparison:
        if request.name not in self.comparisons:
            raise DomainError(Reason.COMPARISON_NOT_FOUND, f"there is no {request.name}")
        self.ended.append(request.name)
        return self.comparisons[request.name]

    async def ReplaySamples(
        self, request: monitor_pb2.ReplaySamplesRequest, context: grpc.aio.ServicerContext
    ) -> AsyncIterator[monitor_pb2.ReplaySamplesResponse]:
        yield monitor_pb2.ReplaySamplesResponse(total=self.replays.total)
        await asyncio.sleep(self.replay_seconds)
        yield self.replays


def _said(comparison: monitor_pb2.Comparison, mood: Mood) -> monitor_pb2.Comparison:
    said = monitor_pb2.Comparison()
    said.CopyFrom(comparison)
    assert mood.verdict is not None
    said.evidence.CopyFrom(E(verdict=mood.verdict, reason=mood.reason, message=mood.message))  # type: ignore[arg-type]
    said.evidence.candidate.requests = mood.requests
    said.evidence.time.FromNanoseconds(time.time_ns() - int(mood.age * 1e9))
    return said
