"""`bmase.patcher.v1.ReleaseService`: decode, read or change the state, encode. The leader's pilots do the rest."""

# ruff: noqa: N802 - methods bear the names of the contract

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

from bmase.patcher.v1 import release_pb2 as pb
from bmase.patcher.v1 import release_pb2_grpc
from bmase.reasons import Reason

from services.kit.decode import decode
from services.kit.errors import DomainError, InvalidArgument, Violation
from services.kit.interceptors import current_call
from services.patcher.claim import Claim
from services.patcher.releases import commands
from services.patcher.releases import requests as rq
from services.patcher.releases.eyes import Eyes
from services.patcher.releases.loop import ReleaseLoop
from services.patcher.releases.monitor import Monitor
from services.patcher.releases.news import News
from services.patcher.releases.observation import Stand
from services.patcher.releases.records import ReleaseRecords
from services.patcher.releases.report import event_message, release_message
from services.patcher.releases.state import Move, Phase, Release
from services.patcher.routes import Routes
from services.patcher.state import Phase as DeploymentPhase
from services.patcher.state import State
from services.patcher.versions import Versions

WATCH_SECONDS = 1.0
SOMEBODY = "somebody"
Context = Any
Command = Callable[[Release, float], Move | None]


class ReleaseServicer(release_pb2_grpc.ReleaseServiceServicer):
    """Any instance answers; only the leader acts."""

    def __init__(
        self,
        records: ReleaseRecords,
        *,
        deployments: Callable[[], Any],
        loop: ReleaseLoop,
        eyes: Eyes,
        monitor: Monitor,
        news: News,
        versions: Versions,
        routes: Routes,
        claim: Claim,
    ) -> None:
        self._records = records
        self._deployments = deployments
        self._loop = loop
        self._eyes = eyes
        self._monitor = monitor
        self._news = news
        self._versions = versions
        self._routes = routes
        self._claim = claim

    async def CreateRelease(self, request: pb.CreateReleaseRequest, context: Context) -> pb.Release:
        asked = decode(rq.Create, request)
        self._claim.refuse()
        if not asked.version:
            raise InvalidArgument([Violation("candidate", 'must be set: a version\'s number, an alias or "latest"')])
        model, request_key = asked.release.model.model, (asked.request_id, _fingerprint(asked))
        if made_before := await self._records.before(model, request_key):
            return release_message(made_before)
        found = await self._versions.find(model, asked.version)
        stable = await self._stable(model)
        if found.number == stable:
            words = f"version {stable} has the traffic of {model} already"
            raise InvalidArgument([Violation("candidate", words)])
        made = Release(
            id=f"r-{secrets.token_hex(5)}",
            model=model,
            candidate=found.number,
            stable=stable,
            policy=asked.release.policy,
            created=time.time(),
            created_by=_caller(),
        )
        what = f"from version {stable} to version {found.number} of {model}"
        kept = await self._records.create(made, request_key, what)
        self._news.commanded()
        return release_message(kept)

    async def GetRelease(self, request: pb.GetReleaseRequest, context: Context) -> pb.Release:
        name = decode(rq.Named, request).name
        self._claim.refuse()
        return await self._told(await self._records.get(name))

    async def ListReleases(self, request: pb.ListReleasesRequest, context: Context) -> pb.ListReleasesResponse:
        asked = decode(rq.List, request)
        self._claim.refuse()
        model = asked.model.model if asked.model else ""
        start, size = rq.page_start(asked.page_token), asked.page_size
        found = await self._records.listed(model, asked.active, start, size + 1)
        page, rest = found[:size], found[size:]
        return pb.ListReleasesResponse(
            releases=[release_message(release, *self._live(release)) for release in page],
            next_page_token=rq.page_token(page[-1].created, page[-1].id) if rest else "",
        )

    async def WatchRelease(self, request: pb.WatchReleaseRequest, context: Context) -> AsyncIterator[pb.Release]:
        name = decode(rq.Named, request).name
        while True:
            count = self._news.watchers.count
            release = await self._records.get(name)
            yield await self._told(release)
            if release.final:
                return
            await self._news.watchers.wait(count, WATCH_SECONDS)

    async def PauseRelease(self, request: pb.PauseReleaseRequest, context: Context) -> pb.Release:
        actor = _caller()
        return await self._commanded(
            decode(rq.Named, request).name, lambda release, now: commands.pause(release, now, actor)
        )

    async def ResumeRelease(self, request: pb.ResumeReleaseRequest, context: Context) -> pb.Release:
        actor = _caller()
        return await self._commanded(
            decode(rq.Named, request).name, lambda release, now: commands.resume(release, now, actor)
        )

    async def PromoteRelease(self, request: pb.PromoteReleaseRequest, context: Context) -> pb.Release:
        asked, actor = decode(rq.Promote, request), _caller()
        seen = self._eyes.look(await self._records.get(asked.name))
        answers = seen is None or seen[2].answers

        def promote(release: Release, now: float) -> Move | None:
            return commands.promote(release, now, actor, full=asked.full, answers=answers)

        return await self._commanded(asked.name, promote)

    async def RollbackRelease(self, request: pb.RollbackReleaseRequest, context: Context) -> pb.Release:
        asked, actor = decode(rq.Rollback, request), _caller()
        seen = self._eyes.look(await self._records.get(asked.name))
        kept = seen is None or seen[1].stand not in (Stand.ABSENT, Stand.LEAVING)

        def rollback(release: Release, now: float) -> Move | None:
            return commands.rollback(release, now, actor, asked.message, kept=kept or not release.percent)

        return await self._commanded(asked.name, rollback)

    async def ListReleaseEvents(
        self, request: pb.ListReleaseEventsRequest, context: Context
    ) -> pb.ListReleaseEventsResponse:
        asked = decode(rq.ListEvents, request)
        start, size = rq.line_start(asked.page_token), asked.page_size
        await self._records.get(asked.name)
        found = await self._records.events(asked.name, start, size + 1)
        page, rest = found[:size], found[size:]
        return pb.ListReleaseEventsResponse(
            events=[event_message(event) for event in page],
            next_page_token=rq.line_token(page[-1].number) if rest else "",
        )

    async def _commanded(self, name: str, command: Command) -> pb.Release:
        self._claim.refuse()
        now = time.time()

        def decide(release: Release) -> list[Move]:
            move = command(release, now)
            return [move] if move else []

        release, moves = await self._records.change(name, decide)
        if moves:
            self._loop.offer(release)
            self._news.commanded()
        return release_message(release)

    async def _stable(self, model: str) -> int:
        """The one version that has the traffic. Raises NO_STABLE_VERSION."""
        weights = await self._routes.weights(model)
        state: State = await self._deployments()
        hint = f"Deploy a version and give it the traffic first: bmase deploy {model} NUMBER."
        if weights is None:
            raise DomainError(Reason.NO_STABLE_VERSION, f"{model} has no route, so no traffic to move", hint=hint)
        if len(weights) != 1:
            listed = ", ".join(f"{version} ({weight})" for version, weight in sorted(weights.items()))
            hint = f"Give all of it to one version first: bmase route set {model} NUMBER=100."
            message = f"several versions of {model} have traffic: {listed}"
            raise DomainError(Reason.NO_STABLE_VERSION, message, hint=hint)
        [stable] = weights
        known = state.deployments.get((model, stable))
        if known is None or known.phase is not DeploymentPhase.ACTIVE:
            message = f"version {stable} of {model} has the traffic, but it is not deployed"
            raise DomainError(Reason.NO_STABLE_VERSION, message, hint=hint)
        return stable

    async def _told(self, release: Release) -> pb.Release:
        evidence, stands = self._live(release)
        if not evidence and release.phase is Phase.STEPPING and self._loop.live(release.id) is None:
            evidence = await self._monitor.latest(release)  # another instance follows it
        return release_message(release, evidence, stands)

    def _live(self, release: Release) -> tuple[bytes, Any]:
        found = self._loop.live(release.id)
        if found is None or release.final:
            return b"", None
        return found


def _caller() -> str:
    """Who calls, for the audit trail: by its token, or by the name that it gives itself."""
    call = current_call.get(None)
    given = call.metadata.get("x-bmase-client", "") if call else ""
    shown = "".join(c for c in given if c.isprintable())[:64]
    return (call.principal if call else "") or shown or SOMEBODY


def _fingerprint(asked: rq.Create) -> str:
    return hashlib.sha256(asked.model_dump_json(exclude={"request_id"}).encode()).hexdigest()
