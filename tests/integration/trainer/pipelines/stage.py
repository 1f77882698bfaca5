"""What pipelines call, scripted: a patcher, a gateway and a monitor that speak real gRPC and do as they are told.

That the real ones do the same is what the tests of the whole suite are for.
"""

from __future__ import annotations

import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from bmase.gateway.v1 import route_pb2, route_pb2_grpc
from bmase.monitor.v1 import monitor_pb2, monitor_pb2_grpc
from bmase.patcher.v1 import deployment_pb2, deployment_pb2_grpc, release_pb2, release_pb2_grpc
from bmase.reasons import Reason

from services.kit.config import ServiceSettings
from services.kit.consul import Consul
from services.kit.errors import DomainError
from services.kit.server import GrpcServer, Registration

R, D = release_pb2.Release, deployment_pb2.Deployment


class World(
    release_pb2_grpc.ReleaseServiceServicer,
    deployment_pb2_grpc.DeploymentServiceServicer,
    route_pb2_grpc.RouteServiceServicer,
    monitor_pb2_grpc.MonitorServiceServicer,
):
    """`routes` is model -> version that has the traffic; requests are known again as by the real patcher."""

    def __init__(self, consul: Consul, folder: Path) -> None:
        self._consul, self._folder = consul, folder
        self.routes: dict[str, int] = {}
        self.releases: dict[str, Any] = {}
        self.deployments: dict[str, Any] = {}
        self.alerts: list[monitor_pb2.Alert] = []
        self.requests: dict[str, str] = {}
        self.calls: list[str] = []
        self.silent = False

    async def __aenter__(self) -> Self:
        patcher = [
            Registration(
                release_pb2_grpc.add_ReleaseServiceServicer_to_server, self, "bmase.patcher.v1.ReleaseService"
            ),
            Registration(
                deployment_pb2_grpc.add_DeploymentServiceServicer_to_server, self, "bmase.patcher.v1.DeploymentService"
            ),
        ]
        routes = Registration(route_pb2_grpc.add_RouteServiceServicer_to_server, self, "bmase.gateway.v1.RouteService")
        monitor = Registration(
            monitor_pb2_grpc.add_MonitorServiceServicer_to_server, self, "bmase.monitor.v1.MonitorService"
        )
        self._servers = []
        for name, registrations in (("patcher", patcher), ("gateway", [routes]), ("monitor", [monitor])):
            settings = ServiceSettings(data_dir=self._folder, instance=f"{name}1", drain_seconds=0)
            server = GrpcServer(settings, name, registrations, consul=self._consul)
            await server.start()
            self._servers.append(server)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        for server in self._servers:
            await server.stop()

    def alert(self, model: str, version: int, id: str = "a1") -> None:
        alert = monitor_pb2.Alert(name=f"alerts/{id}", model=f"models/{model}", version=version, kind="drift")
        alert.state, alert.message = monitor_pb2.Alert.STATE_OPEN, "input/x moved by 0.4"
        alert.open_time.FromMicroseconds(round(time.time() * 1e6))
        self.alerts.append(alert)

    def _answers(self, what: str) -> None:
        if self.silent:
            raise DomainError(Reason.STORE_UNAVAILABLE, "the database does not answer")
        self.calls.append(what)

    async def CreateRelease(self, request: Any, context: Any) -> Any:
        self._answers("CreateRelease")
        model = request.release.model.removeprefix("models/")
        if known := self.requests.get(request.request_id):
            return self.releases[known]
        if model not in self.routes:
            raise DomainError(Reason.NO_STABLE_VERSION, f"{model} has no route")
        if active := [r for r in self.releases.values() if r.state == R.STATE_STEPPING]:
            raise DomainError(Reason.RELEASE_ACTIVE, f"the release {active[0].name} moves the traffic of {model}")
        name = f"releases/r-{len(self.releases) + 1}"
        made = R(name=name, model=request.release.model, candidate=int(request.candidate), state=R.STATE_STEPPING)
        made.policy.CopyFrom(request.release.policy)
        self.requests[request.request_id], self.releases[name] = name, made
        return made

    async def GetRelease(self, request: Any, context: Any) -> Any:
        self._answers("GetRelease")
        return self.releases[request.name]

    async def ListReleases(self, request: Any, context: Any) -> Any:
        self._answers("ListReleases")
        mine = [release for release in self.releases.values() if release.model == request.model]
        return release_pb2.ListReleasesResponse(releases=mine[::-1])

    async def RollbackRelease(self, request: Any, context: Any) -> Any:
        self._answers("RollbackRelease")
        self.ends(request.name, R.STATE_ROLLED_BACK, request.message)
        return self.releases[request.name]

    def ends(self, name: str, state: Any, message: str = "", reason: str = "") -> None:
        release = self.releases[name]
        release.state, release.message, release.reason = state, message, reason
        if state == R.STATE_PROMOTED:
            self.routes[release.model.removeprefix("models/")] = release.candidate

    async def CreateDeployment(self, request: Any, context: Any) -> Any:
        self._answers("CreateDeployment")
        name = request.deployment.name
        made = D(name=name, state=D.STATE_DEPLOYING, version=int(name.rpartition("/")[2]))
        return self.deployments.setdefault(name, made)

    async def GetDeployment(self, request: Any, context: Any) -> Any:
        self._answers("GetDeployment")
        if request.name not in self.deployments:
            raise DomainError(Reason.DEPLOYMENT_NOT_FOUND, "no such deployment")
        return self.deployments[request.name]

    async def DeleteDeployment(self, request: Any, context: Any) -> Any:
        self._answers("DeleteDeployment")
        return self.deployments.pop(request.name)

    def deployed(self, model: str, version: int) -> None:
        self.deployments[f"models/{model}/deployments/{version}"].state = D.STATE_READY
        self.routes.setdefault(model, version)

    async def GetRoute(self, request: Any, context: Any) -> Any:
        self._answers("GetRoute")
        model = request.name.removeprefix("routes/")
        if model not in self.routes:
            raise DomainError(Reason.ROUTE_NOT_FOUND, f"{model} has no route")
        weighted = route_pb2.WeightedVersion(version=self.routes[model], weight=100)
        return route_pb2.Route(name=request.name, versions=[weighted])

    async def ListAlerts(self, request: Any, context: Any) -> Any:
        self._answers("ListAlerts")
        return monitor_pb2.ListAlertsResponse(alerts=self.alerts)
