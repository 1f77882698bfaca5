"""The calls behind a release's effects, under one leader's fence. Each may be made again."""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import replace

import grpc
from bmase.gateway.v1 import route_pb2
from bmase.gateway.v1.route_pb2_grpc import RouteServiceStub
from bmase.reasons import Reason
from bmase.registry.v1 import registry_pb2
from bmase.registry.v1.registry_pb2_grpc import RegistryServiceStub

from services.kit.errors import DomainError, translated
from services.kit.hub import Hub
from services.patcher.records import Records
from services.patcher.releases import effects as fx
from services.patcher.releases.hooks import Hooks
from services.patcher.releases.monitor import Monitor
from services.patcher.releases.observation import Answer, Shadowed
from services.patcher.releases.records import ReleaseRecords
from services.patcher.releases.state import Phase, Release
from services.patcher.routes import Routes
from services.patcher.state import Deployment, RouteWish, State
from services.patcher.state import Phase as DeploymentPhase
from services.patcher.versions import Versions

ALIAS = "stable"
CALL_SECONDS = 10.0
# Listing a version for the first time makes the whole route anew; afterwards a change of weights takes milliseconds.
LISTING_SECONDS = 20.0
WEIGHTS_SECONDS = 2.0
TOLD_AT_ONCE = 50

_GONE = frozenset({Reason.VERSION_NOT_FOUND, Reason.MODEL_NOT_FOUND})


class Tools:
    """One leader's; nothing in it decides."""

    def __init__(
        self,
        *,
        fence: int,
        deployments: Records,
        releases: ReleaseRecords,
        hub: Hub,
        versions: Versions,
        routes: Routes,
        gateway: grpc.aio.Channel,
        registry: grpc.aio.Channel,
        monitor: Monitor,
        hooks: Hooks,
    ) -> None:
        self.fence = fence
        self._deployments = deployments
        self._releases = releases
        self._hub = hub
        self._versions = versions
        self._routes = routes
        self._gateway = RouteServiceStub(gateway)
        self._registry = RegistryServiceStub(registry)
        self._monitor = monitor
        self._hooks = hooks

    async def set_weights(self, effect: fx.SetWeights, release: Release) -> None:
        weights = [route_pb2.WeightedVersion(version=version, weight=weight) for version, weight in effect.weights]
        request = route_pb2.SetWeightsRequest(
            name=f"routes/{effect.model}", versions=weights, release=effect.release, fence=effect.fence
        )
        lists = release.phase in (Phase.DEPLOYING, Phase.SHADOW)
        await self._gateway.SetWeights(request, timeout=LISTING_SECONDS if lists else WEIGHTS_SECONDS)

    async def give_back(self, effect: fx.GiveBack, versions: Collection[int]) -> None:
        """A version that has nothing leaves the route: it may list 16, and releases go on for years."""
        name = f"routes/{effect.model}"
        route = await self._gateway.GetRoute(route_pb2.GetRouteRequest(name=name), timeout=CALL_SECONDS)
        for entry in list(route.versions):
            if entry.version in versions and not entry.weight:
                route.versions.remove(entry)
        request = route_pb2.UpdateRouteRequest(
            route=route, release=effect.release, fence=effect.fence, end_release=True
        )
        await self._gateway.UpdateRoute(request, timeout=LISTING_SECONDS)

    async def deploy(self, effect: fx.Deploy, release: Release) -> None:
        """In the pool of the stable version, without a route of its own."""
        found = await self._versions.find(effect.model, str(effect.version))
        stable = (await self._deployments.read()).deployments.get((release.model, release.stable))
        now = time.time()
        made = Deployment(
            model=effect.model,
            version=effect.version,
            digest=found.digest,
            replicas=effect.replicas,
            pool=stable.pool if stable else "",
            backend=found.backend,
            memory_bytes=found.memory_bytes,
            route=RouteWish.SETTLED,
            created=now,
            updated=now,
        )
        try:
            await self._deployments.create(made, found.files, ("", ""))
        except DomainError as error:
            if error.reason is not Reason.DEPLOYMENT_EXISTS:
                raise
        self._hub.notify()

    async def undeploy(self, effect: fx.Undeploy) -> str:
        """Empty, or why the version stays."""
        if await self._routes.uses(effect.model, effect.version):
            return f"version {effect.version} stays deployed: an override or the mirror of the route sends it requests"
        key = (effect.model, effect.version)

        def leave(state: State) -> State:
            known = state.deployments.get(key)
            if known is None or known.phase is not DeploymentPhase.ACTIVE:
                return state
            left = replace(known, phase=DeploymentPhase.LEAVING, force=False, reason="", message="")
            return replace(state, deployments={**state.deployments, key: left})

        await self._deployments.change(leave, self.fence)
        self._hub.notify()
        return ""

    async def replay(self, effect: fx.Replay) -> Shadowed:
        return await self._monitor.replay(effect.model, effect.stable, effect.candidate, effect.count)

    async def end_comparison(self, effect: fx.EndComparison) -> None:
        await self._monitor.end(effect.comparison)

    async def ask(self, effect: fx.Ask, release: Release) -> tuple[Answer, str]:
        return await self._hooks.ask(release, release.policy.webhooks[effect.webhook], effect.step)

    async def tell(self, effect: fx.Tell, release: Release) -> int:
        """The number of the last event that was told."""
        events = await self._releases.events(release.id, effect.after, TOLD_AT_ONCE)
        await self._hooks.tell(release, events)
        return events[-1].number if events else release.number

    async def move_alias(self, effect: fx.MoveAlias) -> None:
        """A version that is gone needs no alias."""
        request = registry_pb2.SetAliasRequest(model=f"models/{effect.model}", alias=ALIAS, version=effect.version)
        try:
            await self._registry.SetAlias(request, timeout=CALL_SECONDS)
        except grpc.aio.AioRpcError as error:
            refusal = translated(error, "registry")
            if refusal.reason not in _GONE:
                raise refusal from error
