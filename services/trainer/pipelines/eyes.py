"""Looks at what a pipeline depends on; whoever does not answer is silent."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace

import grpc
import structlog
from bmase.gateway.v1.route_pb2_grpc import RouteServiceStub
from bmase.patcher.v1 import deployment_pb2, release_pb2
from bmase.patcher.v1.deployment_pb2_grpc import DeploymentServiceStub
from bmase.patcher.v1.release_pb2_grpc import ReleaseServiceStub
from bmase.reasons import Reason

from services.kit.errors import DomainError
from services.trainer.pipelines.calls import CALL_SECONDS, answered, found, has_traffic
from services.trainer.pipelines.jobs import Jobs
from services.trainer.pipelines.observation import DeploymentSeen, ReleasePhase, ReleaseSeen, Seen
from services.trainer.pipelines.state import Phase, Pipeline

log = structlog.get_logger(__name__)

LATEST = 50  # releases of a model among which that of a version is looked for

_State = deployment_pb2.Deployment
_RELEASES: Mapping[int, ReleasePhase] = {
    release_pb2.Release.State.Value(f"STATE_{phase.name}"): phase for phase in ReleasePhase
}


@dataclass(frozen=True)
class Channels:
    """To the services that pipelines call."""

    patcher: grpc.aio.Channel
    gateway: grpc.aio.Channel
    monitor: grpc.aio.Channel


class Eyes:
    """Of the leader."""

    def __init__(self, jobs: Jobs, channels: Channels) -> None:
        self._jobs = jobs
        self._releases = ReleaseServiceStub(channels.patcher)
        self._deployments = DeploymentServiceStub(channels.patcher)
        self._routes = RouteServiceStub(channels.gateway)

    async def look(self, pipeline: Pipeline, refused: str = "") -> Seen:
        """What is so now."""
        seen = Seen(time.time(), refused=refused)
        if pipeline.phase is not Phase.RELEASING:
            try:
                job = await (self._jobs.get(pipeline.job) if pipeline.job else self._jobs.of_pipeline(pipeline.id))
            except DomainError as error:
                log.warning("jobs_silent", pipeline=pipeline.id, message=error.message)
                return replace(seen, jobs_silent=True)
            return replace(seen, job=job)
        try:
            return await self._serving(pipeline, seen)
        except DomainError as error:
            log.warning("releases_silent", pipeline=pipeline.id, message=error.message)
            return replace(seen, releases_silent=True)

    async def _serving(self, pipeline: Pipeline, seen: Seen) -> Seen:
        release = await self._release(pipeline)
        if release is not None or pipeline.release:
            return replace(seen, release=release)
        deployment = await self._deployment(pipeline)
        return replace(seen, traffic=await has_traffic(self._routes, pipeline.model), deployment=deployment)

    async def _release(self, pipeline: Pipeline) -> ReleaseSeen | None:
        if pipeline.release:
            request = release_pb2.GetReleaseRequest(name=f"releases/{pipeline.release}")
            call = self._releases.GetRelease(request, timeout=CALL_SECONDS)
            known = await found("patcher", call, Reason.RELEASE_NOT_FOUND)
            return None if known is None else release_seen(known)
        asked = release_pb2.ListReleasesRequest(model=f"models/{pipeline.model}", page_size=LATEST)
        page = await answered("patcher", self._releases.ListReleases(asked, timeout=CALL_SECONDS))
        mine = [release for release in page.releases if release.candidate == pipeline.version]
        return release_seen(mine[0]) if mine else None

    async def _deployment(self, pipeline: Pipeline) -> DeploymentSeen | None:
        request = deployment_pb2.GetDeploymentRequest(name=deployment_name(pipeline))
        call = self._deployments.GetDeployment(request, timeout=CALL_SECONDS)
        known = await found("patcher", call, Reason.DEPLOYMENT_NOT_FOUND)
        return None if known is None else deployment_seen(known)


def deployment_name(pipeline: Pipeline) -> str:
    """Of the pipeline's version."""
    return f"models/{pipeline.model}/deployments/{pipeline.version}"


def release_seen(release: release_pb2.Release) -> ReleaseSeen:
    """As much of it as pipelines go by."""
    phase = _RELEASES.get(release.state, ReleasePhase.DEPLOYING)
    id = release.name.removeprefix("releases/")
    return ReleaseSeen(id, phase, release.percent, release.reason, release.message)


def deployment_seen(deployment: deployment_pb2.Deployment) -> DeploymentSeen:
    """As much of it as pipelines go by."""
    return DeploymentSeen(
        state=_State.State.Name(deployment.state).removeprefix("STATE_").lower(),
        failed=deployment.state == _State.STATE_FAILED,
        leaving=deployment.state in (_State.STATE_DRAINING, _State.STATE_GONE),
        reason=deployment.reason,
        message=deployment.message,
    )
