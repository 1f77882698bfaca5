"""Deployments, nodes and routes, asyncio."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence

from bmase.aio.wire import Wire
from bmase.core import deployments, registry, routes
from bmase.core.deployments import DEPLOY_TIMEOUT, ignore
from bmase.core.routes import RouteSpec
from bmase.gateway.v1 import route_pb2
from bmase.names import number
from bmase.patcher.v1 import deployment_pb2 as pb


class Deployments:
    """Which versions run where."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    async def create(
        self,
        model: str,
        version: int | str | None = None,
        *,
        replicas: int = 1,
        pool: str = "",
        memory_bytes: int = 0,
        no_route: bool = False,
    ) -> pb.Deployment:
        """Asks for a version to run; `wait` follows it.

        A model's first one also gets its traffic, unless `no_route`.
        """
        plain = await self._number(model, version)
        call = deployments.create(
            model, plain, replicas=replicas, pool=pool, memory_bytes=memory_bytes, no_route=no_route
        )
        return await self._wire.send(call)

    async def _number(self, model: str, version: int | str | None) -> int:
        return number(version) or (await self._wire.send(registry.get_version(model, version))).number

    async def wait(
        self,
        model: str,
        version: int,
        progress: Callable[[pb.Deployment], None] = ignore,
        *,
        timeout: float = DEPLOY_TIMEOUT,
    ) -> pb.Deployment:
        """Follows a deployment until all replicas answer; DeploymentFailed or TimedOut when that does not happen."""
        return await self._until(deployments.ready, model, version, progress, timeout)

    async def wait_gone(
        self,
        model: str,
        version: int,
        progress: Callable[[pb.Deployment], None] = ignore,
        *,
        timeout: float = DEPLOY_TIMEOUT,
    ) -> pb.Deployment:
        """Follows a deployment until it is out of service and unloaded."""
        return await self._until(deployments.gone, model, version, progress, timeout)

    async def _until(
        self,
        reached: Callable[[pb.Deployment], bool],
        model: str,
        version: int,
        progress: Callable[[pb.Deployment], None],
        timeout: float,
    ) -> pb.Deployment:
        wait = deployments.Waiting(reached, model, version, timeout)
        with wait.explained():
            async for seen in self._wire.follow(wait.watch, timeout):
                progress(seen)
                if wait.saw(seen):
                    break
        return wait.last()

    async def get(self, model: str, version: int) -> pb.Deployment:
        """One deployment, with its placements."""
        return await self._wire.send(deployments.get(model, version))

    def list(self, model: str | None = None, *, page_size: int = 0) -> AsyncIterator[pb.Deployment]:
        """Deployments of one model or of all."""
        return self._wire.items(deployments.list_all(model, page_size))

    async def scale(self, model: str, version: int, replicas: int) -> pb.Deployment:
        """Another number of replicas."""
        return await self._wire.send(deployments.scale(model, version, replicas))

    async def delete(self, model: str, version: int, *, force: bool = False) -> pb.Deployment:
        """Takes a version out of service; refused while it has traffic, unless `force`."""
        return await self._wire.send(deployments.delete(model, version, force))

    def watch(self, model: str, version: int) -> AsyncIterator[pb.Deployment]:
        """The deployment now and at each change, until it is gone."""
        return self._wire.follow(deployments.follow(model, version))


class Nodes:
    """The serving nodes."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    async def list(self, pool: str = "") -> Sequence[pb.Node]:
        """All nodes, or those of a pool."""
        return (await self._wire.send(deployments.list_nodes(pool))).nodes

    async def cordon(self, name: str) -> pb.Node:
        """The node keeps what it serves and gets nothing new."""
        return await self._wire.send(deployments.cordon(name))

    async def uncordon(self, name: str) -> pb.Node:
        """The node takes new deployments again."""
        return await self._wire.send(deployments.uncordon(name))


class Routes:
    """Where traffic goes."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    async def get(self, model: str) -> route_pb2.Route:
        """The route of a model; NotFound when it has none."""
        return await self._wire.send(routes.get(model))

    def list(self, *, page_size: int = 0) -> AsyncIterator[route_pb2.Route]:
        """All routes."""
        return self._wire.items(routes.list_all(page_size))

    async def set(
        self, model: str, spec: RouteSpec | Mapping[int, int], *, etag: str = "", allow_missing: bool = True
    ) -> route_pb2.Route:
        """Replaces the route as a whole; a plain mapping gives the weights."""
        whole = spec if isinstance(spec, RouteSpec) else RouteSpec(spec)
        return await self._wire.send(routes.update(routes.build(model, whole, etag), allow_missing))

    async def set_weights(self, model: str, weights: Mapping[int, int], *, etag: str = "") -> route_pb2.Route:
        """Changes only the weights, within milliseconds; versions that are not named get 0."""
        return await self._wire.send(routes.set_weights(model, weights, etag))

    async def delete(self, model: str, *, etag: str = "") -> None:
        """Takes the route away: the model gets no traffic."""
        await self._wire.send(routes.delete(model, etag))

    def watch(self, model: str | None = None) -> AsyncIterator[route_pb2.WatchRoutesResponse]:
        """The routes now and at each change, over broken connections."""
        return self._wire.follow(routes.watch(model))

    async def gateways(self) -> Sequence[route_pb2.Gateway]:
        """The gateways, and whether each has the newest routes."""
        return (await self._wire.send(routes.list_gateways())).gateways
