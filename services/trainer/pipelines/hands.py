"""Does what a pipeline asks for. Everything may be done again: whoever is asked knows the request."""

from __future__ import annotations

from collections.abc import Callable

from bmase.patcher.v1 import deployment_pb2, release_pb2
from bmase.patcher.v1.deployment_pb2_grpc import DeploymentServiceStub
from bmase.patcher.v1.release_pb2_grpc import ReleaseServiceStub
from bmase.reasons import Reason

from services.trainer.pipelines import transitions as tr
from services.trainer.pipelines.calls import CALL_SECONDS, answered, found
from services.trainer.pipelines.decide import Act, Effect
from services.trainer.pipelines.eyes import Channels, deployment_name
from services.trainer.pipelines.jobs import Jobs
from services.trainer.pipelines.state import Pipeline

# From the pipeline as it is kept to the one that knows the answer.
Answer = Callable[[Pipeline], Pipeline]

# Another try may end in another way; every other refusal is for good.
PASSING = frozenset(
    {
        Reason.RELEASE_ACTIVE,
        Reason.SERVICE_UNAVAILABLE,
        Reason.STORE_UNAVAILABLE,
        Reason.COORDINATION_UNAVAILABLE,
        Reason.NOT_LEADER,
        Reason.DRAINING,
        Reason.OVERLOADED,
        Reason.UNAUTHENTICATED,
        Reason.INTERNAL,
    }
)
CREATING = frozenset({Act.CREATE_JOB, Act.CREATE_RELEASE, Act.DEPLOY})


class Hands:
    """Of the leader."""

    def __init__(self, jobs: Jobs, channels: Channels) -> None:
        self._jobs = jobs
        self._releases = ReleaseServiceStub(channels.patcher)
        self._deployments = DeploymentServiceStub(channels.patcher)

    async def do(self, pipeline: Pipeline, effect: Effect) -> Answer | None:
        """What is to be kept of the answer. Raises DomainError; `PASSING` says which ones are worth another try."""
        match effect.act:
            case Act.CREATE_JOB:
                spec = pipeline.plan.job_for(pipeline.id)
                job = await self._jobs.create(spec, spec.owner or pipeline.owner, effect.request_id)
                return lambda kept: tr.has_job(kept, job.id)
            case Act.CANCEL_JOB:
                await self._jobs.cancel(effect.target, pipeline.name, effect.message)
            case Act.CREATE_RELEASE:
                release = await self._release(pipeline, effect)
                return lambda kept: tr.has_release(kept, release)
            case Act.ABORT_RELEASE:
                await self._abort(pipeline, effect)
            case Act.DEPLOY:
                await self._deploy(pipeline, effect)
                return tr.has_deployment
            case Act.UNDEPLOY:
                await self._undeploy(pipeline)
        return None

    async def _release(self, pipeline: Pipeline, effect: Effect) -> str:
        wanted = release_pb2.Release(model=f"models/{pipeline.model}", policy=pipeline.plan.policy)
        request = release_pb2.CreateReleaseRequest(
            release=wanted, candidate=str(pipeline.version), request_id=effect.request_id
        )
        call = self._releases.CreateRelease(request, timeout=CALL_SECONDS, metadata=_as(pipeline))
        made: release_pb2.Release = await answered("patcher", call)
        return made.name.removeprefix("releases/")

    async def _abort(self, pipeline: Pipeline, effect: Effect) -> None:
        request = release_pb2.RollbackReleaseRequest(name=f"releases/{effect.target}", message=effect.message[:500])
        await answered("patcher", self._releases.RollbackRelease(request, timeout=CALL_SECONDS, metadata=_as(pipeline)))

    async def _deploy(self, pipeline: Pipeline, effect: Effect) -> None:
        wanted = deployment_pb2.Deployment(name=deployment_name(pipeline), replicas=pipeline.plan.policy.replicas)
        request = deployment_pb2.CreateDeploymentRequest(deployment=wanted, request_id=effect.request_id)
        call = self._deployments.CreateDeployment(request, timeout=CALL_SECONDS, metadata=_as(pipeline))
        await found("patcher", call, Reason.DEPLOYMENT_EXISTS)

    async def _undeploy(self, pipeline: Pipeline) -> None:
        request = deployment_pb2.DeleteDeploymentRequest(name=deployment_name(pipeline))
        call = self._deployments.DeleteDeployment(request, timeout=CALL_SECONDS, metadata=_as(pipeline))
        await found("patcher", call, Reason.DEPLOYMENT_NOT_FOUND)


def _as(pipeline: Pipeline) -> tuple[tuple[str, str], ...]:
    """Who asks, for the audit trails of others."""
    return (("x-bmase-client", pipeline.name),)
