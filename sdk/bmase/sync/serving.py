"""Deployments, nodes and routes, blocking."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from bmase.core import deployments, registry, routes
from bmase.core.deployments import DEPLOY_TIMEOUT, ignore
from bmase.core.routes import RouteSpec
from bmase.gateway.v1 import route_pb2
from bmase.names import number
from bmase.patcher.v1 import deployment_pb2 as pb
from bmase.sync.wire import Wire


class Deployments:
    """Which versions run where."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    def create(
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
        plain = self._number(model, version)
        call = deployments.create(
            model, plain, replicas=replicas, pool=pool, memory_bytes=memory_bytes, no_route=no_route
        )
        return self._wire.send(call)

    def _number(self, model: str, version: int | str | None) -> int:
        return number(version) or self._wire.send(registry.get_version(model, version)).number

    def wait(
        self,
        model: str,
        version: int,
        progress: Callable[[pb.Deployment], None] = ignore,
        *,
        timeout: float = DEPLOY_TIMEOUT,
    ) -> pb.Deployment:
        """Follows a deployment until all replicas answer; DeploymentFailed or TimedOut when that does not happen."""
        return self._until(deployments.ready, model, version, progress, timeout)

    def wait_gone(
        self,
        model: str,
        version: int,
        progress: Callable[[pb.Deployment], None] = ignore,
        *,
        timeout: float = DEPLOY_TIMEOUT,
    ) -> pb.Deployment:
        """Follows a deployment until it is out of service and unloaded."""
        return self._until(deployments.gone, model, version, progress, timeout)

    def _until(
        self,
        reached: Callable[[pb.Deployment], bool],
        model: str,
        version: int,
        progress: Callable[[pb.Deployment], None],
        timeout: float,
    ) -> pb.Deployment:
        wait = deployments.Waiting(reached, model, version, timeout)
        with wait.explained():
            for seen in self._wire.follow(wait.watch, timeout):
                progress(seen)
                if wait.saw(seen):
                    break
        return wait.last()

    def get(self, model: str, version: int) -> pb.Deployment:
        """One deployment, with its placements."""
        return self._wire.send(deployments.get(model, version))

    def list(self, model: str | None = None, *, page_size: int = 0) -> Iterator[pb.Deployment]:
        """Deployments of one model or of all."""
        return self._wire.items(deployments.list_all(model, page_size))

    def scale(self, model: str, version: int, replicas: int) -> pb.Deployment:
        """Another number of replicas."""
        return self._wire.send(deployments.scale(model, version, replicas))

    def delete(self, model: str, version: int, *, force: bool = False) -> pb.Deployment:
        """Takes a version out of service; refused while it has traffic, unless `force`."""
        return self._wire.send(deployments.delete(model, version, force))

    def watch(self, model: str, version: int) -> Iterator[pb.Deployment]:
        """The deployment now and at each change, until it is gone."""
        return self._wire.follow(deployments.follow(model, version))


class Nodes:
    """The serving nodes."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    def list(self, pool: str = "") -> Sequence[pb.Node]:
        """All nodes, or those of a pool."""
        return self._wire.send(deployments.list_nodes(pool)).nodes

    def cordon(self, name: str) -> pb.Node:
        """The node keeps what it serves and gets nothing new."""
        return self._wire.send(deployments.cordon(name))

    def uncordon(self, name: str) -> pb.Node:
        """The node takes new deployments again."""
        return self._wire.send(deployments.uncordon(name))


class Routes:
    """Where traffic goes."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    def get(self, model: str) -> route_pb2.Route:
        """The route of a model; NotFound when it has none."""
        return self._wire.send(routes.get(model))

    def list(self, *, page_size: int = 0) -> Iterator[route_pb2.Route]:
        """All routes."""
        return self._wire.items(routes.list_all(page_size))

    def set(
        self, model: str, spec: RouteSpec | Mapping[int, int], *, etag: str = "", allow_missing: bool = True
    ) -> route_pb2.Route:
        """Replaces the route as a whole; a plain mapping gives the weights."""
        whole = spec if isinstance(spec, RouteSpec) else RouteSpec(spec)
        return self._wire.send(routes.update(routes.build(model, whole, etag), allow_missing))

    def set_weights(self, model: str, weights: Mapping[int, int], *, etag: str = "") -> route_pb2.Route:
        """Changes only the weights, within milliseconds; versions that are not named get 0."""
        return self._wire.send(routes.set_weights(model, weights, etag))

    def delete(self, model: str, *, etag: str = "") -> None:
        """Takes the route away: the model gets no traffic."""
        self._wire.send(routes.delete(model, etag))

    def watch(self, model: str | None = None) -> Iterator[route_pb2.WatchRoutesResponse]:
        """The routes now and at each change, over broken connections."""
        return self._wire.follow(routes.watch(model))

    def gateways(self) -> Sequence[route_pb2.Gateway]:
        """The gateways, and whether each has the newest routes."""
        return self._wire.send(routes.list_gateways()).gateways
