"""`bmase.patcher.v1.DeploymentService`: decode, read or change the state, encode. The leader's loop does the rest."""

# ruff: noqa: N802 - methods bear the names of the contract

from __future__ import annotations

import hashlib
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

from bmase.patcher.v1 import deployment_pb2 as pb
from bmase.patcher.v1 import deployment_pb2_grpc
from bmase.reasons import Reason

from services.kit.decode import decode
from services.kit.errors import DomainError
from services.kit.hub import Hub
from services.patcher import requests as rq
from services.patcher.claim import Claim
from services.patcher.observation import Observation
from services.patcher.records import Records
from services.patcher.report import deployment_message, gone_message, node_message
from services.patcher.routes import Routes
from services.patcher.state import Deployment, Key, Phase, RouteWish, State
from services.patcher.versions import Found, Versions
from services.patcher.view import View

WATCH_SECONDS = 1.0
Context = Any


class DeploymentServicer(deployment_pb2_grpc.DeploymentServiceServicer):
    """Any instance answers; only the leader acts."""

    def __init__(
        self, records: Records, view: View, hub: Hub, versions: Versions, routes: Routes, *, claim: Claim
    ) -> None:
        self._records = records
        self._view = view
        self._hub = hub
        self._versions = versions
        self._routes = routes
        self._claim = claim

    async def CreateDeployment(self, request: pb.CreateDeploymentRequest, context: Context) -> pb.Deployment:
        asked = decode(rq.Create, request)
        self._claim.refuse()
        found = await self._versions.find(asked.deployment.name.model, asked.deployment.name.version)
        made = _made(asked, found)
        key = await self._records.create(made, found.files, (asked.request_id, _fingerprint(asked)))
        self._hub.notify()
        return await self._told(key)

    async def GetDeployment(self, request: pb.GetDeploymentRequest, context: Context) -> pb.Deployment:
        return await self._told(decode(rq.Named, request).name.key)

    async def ListDeployments(self, request: pb.ListDeploymentsRequest, context: Context) -> pb.ListDeploymentsResponse:
        asked = decode(rq.List, request)
        start, state, seen = rq.page_start(asked.page_token), await self._kept(), self._seen()
        found = [
            deployment
            for key, deployment in sorted(state.deployments.items())
            if key > start and (asked.model is None or deployment.model == asked.model.model)
        ]
        page, rest = found[: asked.page_size], found[asked.page_size :]
        return pb.ListDeploymentsResponse(
            deployments=[deployment_message(deployment, state, seen) for deployment in page],
            next_page_token=rq.page_token(page[-1].key) if rest else "",
        )

    async def ScaleDeployment(self, request: pb.ScaleDeploymentRequest, context: Context) -> pb.Deployment:
        asked = decode(rq.Scale, request)

        def scale(now: Deployment) -> Deployment:
            if now.phase is not Phase.ACTIVE:
                raise _leaving(now)
            return replace(now, replicas=asked.replicas, generation=now.generation + 1)

        return await self._changed(asked.name.key, scale)

    async def DeleteDeployment(self, request: pb.DeleteDeploymentRequest, context: Context) -> pb.Deployment:
        asked = decode(rq.Delete, request)
        known = _known(await self._kept(), asked.name.key)
        if known.phase is Phase.ACTIVE and not asked.force and await self._routes.uses(known.model, known.version):
            raise _in_route(known)

        def leave(now: Deployment) -> Deployment:
            if now.phase is not Phase.ACTIVE:
                return now
            return replace(now, phase=Phase.LEAVING, force=asked.force, reason="", message="")

        return await self._changed(asked.name.key, leave)

    async def WatchDeployment(
        self, request: pb.WatchDeploymentRequest, context: Context
    ) -> AsyncIterator[pb.Deployment]:
        key, count = decode(rq.Named, request).name.key, self._hub.count
        said = await self._told(key)
        yield said
        while True:
            count = await self._hub.wait(count, WATCH_SECONDS)
            state = await self._kept()
            if key not in state.deployments:
                yield gone_message(said)
                return
            now = deployment_message(state.deployments[key], state, self._seen())
            if now != said:
                yield now
                said = now

    async def ListNodes(self, request: pb.ListNodesRequest, context: Context) -> pb.ListNodesResponse:
        asked = decode(rq.ListNodes, request)
        state, seen = await self._kept(), self._seen()
        names = [n for n, record in sorted(state.nodes.items()) if asked.pool in ("", record.info.pool)]
        return pb.ListNodesResponse(nodes=[node_message(name, state, seen) for name in names])

    async def CordonNode(self, request: pb.CordonNodeRequest, context: Context) -> pb.Node:
        return await self._cordon(decode(rq.OneNode, request).name, True)

    async def UncordonNode(self, request: pb.UncordonNodeRequest, context: Context) -> pb.Node:
        return await self._cordon(decode(rq.OneNode, request).name, False)

    async def _cordon(self, name: str, cordoned: bool) -> pb.Node:
        def change(state: State) -> State:
            if name not in state.nodes:
                hint = "`bmase nodes` lists the nodes that have introduced themselves."
                raise DomainError(Reason.NODE_NOT_FOUND, f"there is no node {name}", hint=hint)
            return replace(state, nodes={**state.nodes, name: replace(state.nodes[name], cordoned=cordoned)})

        self._claim.refuse()
        state = await self._records.change(change)
        self._hub.notify()
        return node_message(name, state, self._seen())

    async def _changed(self, key: Key, change: Callable[[Deployment], Deployment]) -> pb.Deployment:
        def decide(state: State) -> State:
            return replace(state, deployments={**state.deployments, key: change(_known(state, key))})

        self._claim.refuse()
        state = await self._records.change(decide)
        self._hub.notify()
        return deployment_message(state.deployments[key], state, self._seen())

    async def _told(self, key: Key) -> pb.Deployment:
        state = await self._kept()
        return deployment_message(_known(state, key), state, self._seen())

    async def _kept(self) -> State:
        self._claim.refuse()
        return await self._records.read()

    def _seen(self) -> Observation:
        """What is seen now; before the first look nothing is known, and nothing is concluded."""
        return self._view.observation() or Observation(now=time.time(), settled=False)


def _made(asked: rq.Create, found: Found) -> Deployment:
    spec, now = asked.deployment, time.time()
    return Deployment(
        model=spec.name.model,
        version=found.number,
        digest=found.digest,
        replicas=spec.replicas or 1,
        pool=spec.pool,
        backend=found.backend,
        memory_bytes=spec.memory_bytes or found.memory_bytes,
        route=RouteWish.SETTLED if asked.no_route else RouteWish.WANTED,
        created=now,
        updated=now,
    )


def _fingerprint(asked: rq.Create) -> str:
    return hashlib.sha256(asked.model_dump_json(exclude={"request_id"}).encode()).hexdigest()


def _known(state: State, key: Key) -> Deployment:
    deployment = state.deployments.get(key)
    if deployment is None:
        message = f"version {key[1]} of {key[0]} is not deployed"
        raise DomainError(Reason.DEPLOYMENT_NOT_FOUND, message, hint="`bmase deployments` lists what is.")
    return deployment


def _leaving(deployment: Deployment) -> DomainError:
    return DomainError(
        Reason.DEPLOYMENT_NOT_FOUND,
        f"{deployment.name} is being taken out of service",
        hint="Wait until it is gone, then deploy the version again.",
    )


def _in_route(deployment: Deployment) -> DomainError:
    return DomainError(
        Reason.VERSION_IN_ROUTE,
        f"the route of {deployment.model} sends requests to version {deployment.version}",
        hint="Give its traffic to another version first, or use force, which takes it from the route.",
        metadata={"route": f"routes/{deployment.model}"},
    )
