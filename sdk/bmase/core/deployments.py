"""Calls of `bmase.patcher.v1.DeploymentService`, and when a deployment has settled."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from bmase import names
from bmase.core.calls import Call, Listing, Watch
from bmase.core.registry import new_request_id
from bmase.errors import DeploymentFailed, NotFound, PreconditionFailed, TimedOut
from bmase.patcher.v1 import deployment_pb2 as pb
from bmase.reasons import Reason

SERVICE = "/bmase.patcher.v1.DeploymentService/"
DEPLOY_TIMEOUT = 600.0


def ignore(_seen: pb.Deployment) -> None:
    """The progress callback for when nobody looks."""


def create(
    model: str, version: int, *, replicas: int, pool: str, memory_bytes: int, no_route: bool
) -> Call[pb.Deployment]:
    """A deployment on its way; `follow` tells how it goes."""
    wanted = pb.Deployment(
        name=names.deployment(model, version), replicas=replicas, pool=pool, memory_bytes=memory_bytes
    )
    request = pb.CreateDeploymentRequest(deployment=wanted, request_id=new_request_id(), no_route=no_route)
    return Call(SERVICE + "CreateDeployment", request, pb.Deployment)


def get(model: str, version: int) -> Call[pb.Deployment]:
    """One deployment."""
    return Call(
        SERVICE + "GetDeployment", pb.GetDeploymentRequest(name=names.deployment(model, version)), pb.Deployment
    )


def list_all(model: str | None, page_size: int) -> Listing[pb.Deployment]:
    """Deployments of one model or of all."""

    def page(token: str) -> Call[pb.ListDeploymentsResponse]:
        request = pb.ListDeploymentsRequest(
            model=names.model(model) if model else "", page_size=page_size, page_token=token
        )
        return Call(SERVICE + "ListDeployments", request, pb.ListDeploymentsResponse)

    return Listing(page, "deployments")


def scale(model: str, version: int, replicas: int) -> Call[pb.Deployment]:
    """Another number of replicas."""
    request = pb.ScaleDeploymentRequest(name=names.deployment(model, version), replicas=replicas)
    return Call(SERVICE + "ScaleDeployment", request, pb.Deployment)


def delete(model: str, version: int, force: bool) -> Call[pb.Deployment]:
    """Out of service."""
    request = pb.DeleteDeploymentRequest(name=names.deployment(model, version), force=force)
    return Call(SERVICE + "DeleteDeployment", request, pb.Deployment)


def follow(model: str, version: int) -> Watch[pb.Deployment]:
    """The deployment now and at each change, until it is gone."""
    request = pb.WatchDeploymentRequest(name=names.deployment(model, version))
    call = Call(SERVICE + "WatchDeployment", request, pb.Deployment, None)
    return Watch(call, over=lambda seen: seen.state == pb.Deployment.STATE_GONE)


def ready(seen: pb.Deployment) -> bool:
    """True when all replicas answer; DeploymentFailed when it will not come to that by itself."""
    if seen.state in {pb.Deployment.STATE_FAILED, pb.Deployment.STATE_DRAINING, pb.Deployment.STATE_GONE}:
        raise DeploymentFailed(
            f"{seen.name} is {state_word(seen)}: {seen.message or 'the nodes gave no message'}",
            reason=seen.reason or pb.Deployment.State.Name(seen.state),
            hint="`bmase deployments get` shows each node's own message.",
        )
    return bool(seen.state == pb.Deployment.STATE_READY)


def gone(seen: pb.Deployment) -> bool:
    """True when the version is out of service and unloaded; PreconditionFailed when its route needed it after all."""
    if seen.reason == Reason.VERSION_IN_ROUTE:
        raise PreconditionFailed(
            f"{seen.name} is {state_word(seen)} again: {seen.message}",
            reason=seen.reason,
            hint="Give its traffic to another version first (`bmase route weights`), or use force.",
        )
    return bool(seen.state == pb.Deployment.STATE_GONE)


def state_word(seen: pb.Deployment) -> str:
    """The state as a word for people: `ready`, `deploying`, ..."""
    return pb.Deployment.State.Name(seen.state).removeprefix("STATE_").lower()


class Waiting:
    """One wait for a deployment: what was seen last, and what it means when the stream ends."""

    def __init__(self, reached: Callable[[pb.Deployment], bool], model: str, version: int, timeout: float) -> None:
        self.watch = follow(model, version)
        self._reached = reached
        self._name = names.deployment(model, version)
        self._timeout = timeout
        self._seen = pb.Deployment(name=self._name)

    def saw(self, seen: pb.Deployment) -> bool:
        """Takes note; True when what was waited for has come."""
        self._seen = seen
        return self._reached(seen)

    def last(self) -> pb.Deployment:
        """What was seen last."""
        return self._seen

    @contextlib.contextmanager
    def explained(self) -> Iterator[None]:
        """Says what was seen last when time runs out; and a deployment that is not there any more is gone."""
        try:
            yield
        except TimedOut:
            raise TimedOut(
                f"after {self._timeout:.0f} s {self._name} is still {state_word(self._seen)}: "
                f"{self._seen.message or 'the nodes gave no message'}",
                reason=self._seen.reason or "DEADLINE_EXCEEDED",
                hint="It goes on by itself: `bmase deployments watch` follows it.",
            ) from None
        except NotFound:
            if self._reached is not gone:
                raise
            self._seen = pb.Deployment(name=self._name, state=pb.Deployment.STATE_GONE)


def list_nodes(pool: str) -> Call[pb.ListNodesResponse]:
    """The serving nodes."""
    return Call(SERVICE + "ListNodes", pb.ListNodesRequest(pool=pool), pb.ListNodesResponse)


def cordon(node: str) -> Call[pb.Node]:
    """Nothing new on this node."""
    return Call(SERVICE + "CordonNode", pb.CordonNodeRequest(name=names.node(node)), pb.Node)


def uncordon(node: str) -> Call[pb.Node]:
    """The node takes new deployments again."""
    return Call(SERVICE + "UncordonNode", pb.UncordonNodeRequest(name=names.node(node)), pb.Node)
