"""The calls of somebody who releases, and what they wait for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Any, Self

import grpc
from bmase.patcher.v1 import deployment_pb2, release_pb2
from bmase.patcher.v1 import release_pb2 as pb
from bmase.patcher.v1.release_pb2_grpc import ReleaseServiceStub

from services.kit.consul.documents import ROUTES
from tests.integration.patcher.bench import eventually
from tests.integration.patcher.platform import QUICK, Platform
from tests.integration.patcher.releases.stage import LockedGateway, ScriptedMonitor

R = pb.Release
ELECTION_SECONDS = 60  # a leader that was killed keeps its place for eleven seconds
ENDED = (R.STATE_COMPLETED, R.STATE_ROLLED_BACK, R.STATE_FAILED)


def policy(*percents: float, keep: float = 600, min_time: float = 0.3, **fields: Any) -> pb.ReleasePolicy:
    """Steps with small minimums, nothing replayed unless told so."""
    made = pb.ReleasePolicy(**{"shadow_samples": -1, **fields})
    for percent in percents or (5, 50, 100):
        step = made.steps.add(percent=percent, min_requests=50)
        step.min_time.FromMilliseconds(round(min_time * 1000))
    made.keep.FromMilliseconds(round(keep * 1000))
    return made


class Flight:
    """`model` has two versions and the first one has the traffic, after `ready`."""

    def __init__(self, platform: Platform, gateway: LockedGateway | None, monitor: ScriptedMonitor) -> None:
        self.platform = platform
        self._gateway = gateway
        self.monitor = monitor
        self._names: list[str] = []

    async def __aenter__(self) -> Self:
        self._channel = grpc.aio.insecure_channel(self.platform.address, QUICK)
        self.releases = ReleaseServiceStub(self._channel)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._channel.close()

    @property
    def gateway(self) -> LockedGateway:
        assert self._gateway is not None, "the gateway is a real one"
        return self._gateway

    async def through(self, address: str) -> None:
        """From now on, calls go to another instance."""
        await self._channel.close()
        self._channel = grpc.aio.insecure_channel(address, QUICK)
        self.releases = ReleaseServiceStub(self._channel)

    async def ready(self, model: str) -> tuple[int, int]:
        """Two versions; the first one has the traffic."""
        one = await self.platform.push_affine(model, 2)
        two = await self.platform.push_affine(model, 3)
        await self.platform.deploy(model, one)
        await self.platform.reaches(model, one, deployment_pb2.Deployment.STATE_READY)
        return one, two

    async def start(self, model: str, candidate: str = "latest", request_id: str = "", **fields: Any) -> pb.Release:
        asked = pb.Release(model=f"models/{model}", policy=fields.pop("policy", None) or policy(**fields))
        request = pb.CreateReleaseRequest(release=asked, candidate=candidate, request_id=request_id)
        made: pb.Release = await self.releases.CreateRelease(request)
        self._names.append(made.name)
        return made

    async def get(self, name: str) -> pb.Release:
        return await self.releases.GetRelease(pb.GetReleaseRequest(name=name))

    async def events(self, name: str) -> list[pb.ReleaseEvent]:
        told = await self.releases.ListReleaseEvents(pb.ListReleaseEventsRequest(name=name, page_size=1000))
        return list(told.events)

    async def pause(self, name: str) -> pb.Release:
        return await self.releases.PauseRelease(pb.PauseReleaseRequest(name=name))

    async def resume(self, name: str) -> pb.Release:
        return await self.releases.ResumeRelease(pb.ResumeReleaseRequest(name=name))

    async def promote(self, name: str, full: bool = False) -> pb.Release:
        return await self.releases.PromoteRelease(pb.PromoteReleaseRequest(name=name, full=full))

    async def rollback(self, name: str, message: str = "") -> pb.Release:
        return await self.releases.RollbackRelease(pb.RollbackReleaseRequest(name=name, message=message))

    async def watch(self, name: str) -> AsyncIterator[pb.Release]:
        async for said in self.releases.WatchRelease(release_pb2.WatchReleaseRequest(name=name)):
            yield said

    async def reaches(self, name: str, state: int, step: int | None = None, timeout: float = 60) -> pb.Release:
        """Waits, over restarts of the patcher, until it is there; a step also has to be in force."""
        last = "nothing"

        async def look() -> pb.Release | None:
            nonlocal last
            try:
                said = await self.get(name)
            except grpc.aio.AioRpcError as error:
                if error.code() is not grpc.StatusCode.UNAVAILABLE:
                    raise
                return None
            last = f"{R.State.Name(said.state)} step {said.step}: {said.reason} {said.message}"
            there = said.state == state and (step is None or (said.step == step and said.HasField("step_time")))
            return said if there else None

        try:
            return await eventually(look, R.State.Name(state), timeout)  # type: ignore[arg-type]
        except AssertionError:
            tail = self.platform.patcher.tail(40)
            raise AssertionError(f"not {R.State.Name(state)} within {timeout} s but {last}\n{tail}") from None  # type: ignore[arg-type]

    async def settled(self, model: str) -> None:
        """The route belongs to nobody."""

        async def look() -> bool:
            entry = await self.platform.consul.kv.get(ROUTES + model)
            return entry is None or not entry.json().get("release")

        await eventually(look, f"the route of {model} given back", 20)

    async def land(self) -> None:
        """Ends what is under way and takes everything out of service."""
        for name in self._names:
            said = await self.get(name)
            if said.state not in ENDED:
                await self.rollback(name, "the test is over")
                await self.reaches(name, R.STATE_ROLLED_BACK)
            await self.settled(said.model.removeprefix("models/"))
        await self.platform.clear()


async def steady(look: Any, seconds: float) -> None:
    """It holds all the time."""
    until = asyncio.get_running_loop().time() + seconds
    while asyncio.get_running_loop().time() < until:
        assert await look()
        await asyncio.sleep(0.1)
