"""Registry, patcher and gateway around real nodes: what a deployment goes through, without Envoy."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import grpc
from bmase.gateway.v1 import route_pb2, route_pb2_grpc
from bmase.patcher.v1 import deployment_pb2 as pb
from bmase.patcher.v1.deployment_pb2_grpc import DeploymentServiceStub
from bmase.reasons import Reason
from bmase.registry.v1 import registry_pb2
from bmase.registry.v1.registry_pb2_grpc import RegistryServiceStub
from google.protobuf.json_format import MessageToJson

from infra.runtime.layout import CHECKOUT
from services.kit.config import ServiceSettings
from services.kit.consul import Consul
from services.kit.consul.documents import GATEWAYS, PLACEMENTS, ROUTES, read
from services.kit.errors import DomainError
from services.kit.server import GrpcServer, Registration
from services.patcher.documents import GatewayReport, Placements
from tests.integration.patcher.bench import affine_sample, eventually
from tests.integration.patcher.bytes_registry import digest_of
from tests.support import onnx_models
from tests.support.ports import free_ports
from tests.support.process import Process

State = pb.Deployment
# A server that was started again is found within half a second.
QUICK = [("grpc.initial_reconnect_backoff_ms", 100), ("grpc.max_reconnect_backoff_ms", 500)]


class Gateway(route_pb2_grpc.RouteServiceServicer):
    """Keeps routes in Consul and reports what it has applied, as the gateway's control does; `deaf` applies nothing."""

    def __init__(self, consul_url: str, data: Path, name: str = "gw1") -> None:
        self.name = name
        self.deaf = False
        self.given: list[tuple[str, dict[int, int]]] = []
        self._url = consul_url
        self._settings = ServiceSettings(data_dir=data, instance=name, drain_seconds=0)

    async def __aenter__(self) -> Self:
        self.consul = Consul(self._url)
        added = Registration(route_pb2_grpc.add_RouteServiceServicer_to_server, self, "bmase.gateway.v1.RouteService")
        self._server = GrpcServer(self._settings, "gateway", [added], consul=self.consul)
        await self._server.start()
        self._task = asyncio.create_task(self._follow())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await self._server.stop()
        await self.consul.close()

    async def _follow(self) -> None:
        async for listing in self.consul.watch(PLACEMENTS):
            while self.deaf:
                await asyncio.sleep(0.05)
            report = GatewayReport(epoch=listing.epoch, placements_index=listing.index)
            with contextlib.suppress(DomainError):
                await self.consul.kv.put(GATEWAYS + self.name, report.encode())

    async def UpdateRoute(self, request: route_pb2.UpdateRouteRequest, context: Any) -> route_pb2.Route:
        model = request.route.name.removeprefix("routes/")
        self.given.append((model, {entry.version: entry.weight for entry in request.route.versions}))
        await self.consul.kv.put(ROUTES + model, MessageToJson(request.route, preserving_proto_field_name=True))
        return request.route

    async def GetRoute(self, request: route_pb2.GetRouteRequest, context: Any) -> route_pb2.Route:
        model = request.name.removeprefix("routes/")
        entry = await self.consul.kv.get(ROUTES + model)
        if entry is None:
            raise DomainError(Reason.ROUTE_NOT_FOUND, f"{model} has no route")
        versions = [
            route_pb2.WeightedVersion(version=int(each["version"]), weight=int(each.get("weight", 0)))
            for each in entry.json()["versions"]
        ]
        return route_pb2.Route(name=request.name, versions=versions)

    async def DeleteRoute(self, request: route_pb2.DeleteRouteRequest, context: Any) -> route_pb2.DeleteRouteResponse:
        await self.consul.kv.delete(ROUTES + request.name.removeprefix("routes/"))
        return route_pb2.DeleteRouteResponse()


class Platform:
    """The real registry and patcher as processes, and the calls of a user."""

    def __init__(self, folder: Path, consul_url: str, consul: Consul, database: str = "") -> None:
        self.consul = consul
        self.folder = folder
        registry_port, patcher_port = free_ports(2)
        self.registry_address, self.address = f"127.0.0.1:{registry_port}", f"127.0.0.1:{patcher_port}"
        common = {"BMASE_CONSUL_URL": consul_url, "BMASE_DRAIN_SECONDS": "1"}
        self.registry = Process(
            [sys.executable, "-m", "services.registry"],
            folder / "registry.log",
            name="registry",
            env={
                **common,
                "BMASE_REGISTRY_LISTEN": self.registry_address,
                "BMASE_REGISTRY_DATA_DIR": str(folder / "r"),
            },
            cwd=CHECKOUT,
        )
        self.patcher = self.another(self.address, database, common)
        self.common = common

    def another(self, address: str, database: str = "", common: dict[str, str] | None = None) -> Process:
        """One more instance of the patcher, on the same database."""
        settings = {
            **(common or self.common),
            "BMASE_PATCHER_LISTEN": address,
            "BMASE_PATCHER_DATA_DIR": str(self.folder / "p"),
            "BMASE_PATCHER_INSTANCE": f"patcher-{address.rpartition(':')[2]}",
            "BMASE_PATCHER_DATABASE_URL": database or "",
            "BMASE_PATCHER_UNDEPLOY_DRAIN_SECONDS": "0.5",
            "BMASE_PATCHER_SETTLE_SECONDS": "3",
        }
        command = [sys.executable, "-m", "services.patcher"]
        log = self.folder / f"patcher-{address.rpartition(':')[2]}.log"
        return Process(command, log, name="patcher", env=settings, cwd=CHECKOUT)

    async def __aenter__(self) -> Self:
        self.registry.start()
        self.patcher.start()
        self._channels = [grpc.aio.insecure_channel(a, QUICK) for a in (self.registry_address, self.address)]
        self.versions = RegistryServiceStub(self._channels[0])
        self.deployments = DeploymentServiceStub(self._channels[1])
        for channel, process in zip(self._channels, (self.registry, self.patcher), strict=True):
            try:
                async with asyncio.timeout(90):
                    await channel.channel_ready()
            except TimeoutError:
                raise AssertionError(f"{process.name} does not listen\n{process.tail()}") from None
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        for channel in self._channels:
            await channel.close()
        for process in (self.patcher, self.registry):
            await asyncio.to_thread(process.kill)

    async def reachable(self) -> None:
        """Waits until the patcher answers."""

        async def answers() -> bool:
            try:
                await self.deployments.ListNodes(pb.ListNodesRequest(), timeout=2)
            except grpc.aio.AioRpcError:
                return False
            return True

        await eventually(answers, "an answer of the patcher")

    @contextlib.asynccontextmanager
    async def through(self, address: str) -> AsyncIterator[None]:
        """Meanwhile, calls go to another instance."""
        before = self.deployments
        async with grpc.aio.insecure_channel(address) as channel:
            self.deployments = DeploymentServiceStub(channel)
            try:
                await self.reachable()
                yield
            finally:
                self.deployments = before

    async def push(self, model: str, content: bytes, samples: Sequence[registry_pb2.Sample] = ()) -> int:
        """Registers an ONNX file as the model's next version; returns its number."""
        digest = digest_of(content)
        upload = await self.versions.StartUpload(
            registry_pb2.StartUploadRequest(digest=digest, size_bytes=len(content))
        )
        if not upload.complete:

            async def parts() -> AsyncIterator[registry_pb2.WriteArtefactRequest]:
                yield registry_pb2.WriteArtefactRequest(upload_id=upload.id, data=content[: 1 << 20])
                for start in range(1 << 20, len(content), 1 << 20):
                    yield registry_pb2.WriteArtefactRequest(data=content[start : start + (1 << 20)])

            await self.versions.WriteArtefact(parts())
        version = registry_pb2.Version(files=[registry_pb2.File(path="model.onnx", digest=digest)])
        version.serving.max_batch_size = 8
        made = await self.versions.CreateVersion(
            registry_pb2.CreateVersionRequest(
                parent=f"models/{model}", version=version, create_model=True, samples=samples
            )
        )
        return int(made.number)

    async def push_affine(self, model: str, factor: float) -> int:
        """A version that answers `factor` times its input."""
        content = onnx_models.affine(factor, 0).SerializeToString()
        return await self.push(model, content, [affine_sample(factor, 0)])

    async def deploy(
        self, model: str, version: int | str, request_id: str = "", no_route: bool = False, **fields: Any
    ) -> pb.Deployment:
        asked = pb.Deployment(name=f"models/{model}/deployments/{version}", **fields)
        request = pb.CreateDeploymentRequest(deployment=asked, request_id=request_id, no_route=no_route)
        return await self.deployments.CreateDeployment(request)

    async def scale(self, model: str, version: int, replicas: int) -> pb.Deployment:
        name = f"models/{model}/deployments/{version}"
        return await self.deployments.ScaleDeployment(pb.ScaleDeploymentRequest(name=name, replicas=replicas))

    async def clear(self) -> None:
        """Takes everything out of service."""
        listed = (await self.deployments.ListDeployments(pb.ListDeploymentsRequest())).deployments
        for deployment in listed:
            try:
                await self.deployments.DeleteDeployment(pb.DeleteDeploymentRequest(name=deployment.name, force=True))
            except grpc.aio.AioRpcError as error:
                if error.code() is not grpc.StatusCode.NOT_FOUND:  # it was leaving when it was listed
                    raise
        for deployment in listed:
            await self.reaches(deployment.model.removeprefix("models/"), deployment.version, State.STATE_GONE)

    async def undeploy(self, model: str, version: int, force: bool = False) -> pb.Deployment:
        name = f"models/{model}/deployments/{version}"
        return await self.deployments.DeleteDeployment(pb.DeleteDeploymentRequest(name=name, force=force))

    async def get(self, model: str, version: int) -> pb.Deployment:
        name = f"models/{model}/deployments/{version}"
        return await self.deployments.GetDeployment(pb.GetDeploymentRequest(name=name))

    async def reaches(self, model: str, version: int, state: Any, timeout: float = 60) -> pb.Deployment:
        """Follows the deployment until it is in the state, over restarts of the patcher."""
        last: pb.Deployment | None = None
        try:
            async with asyncio.timeout(timeout):
                while True:
                    try:
                        async for last in self._watch(model, version):
                            if last.state == state:
                                return last
                    except grpc.aio.AioRpcError as error:
                        if error.code() is grpc.StatusCode.NOT_FOUND and state == State.STATE_GONE:
                            return pb.Deployment(state=State.STATE_GONE)
                        if error.code() is not grpc.StatusCode.UNAVAILABLE:
                            raise
                        await asyncio.sleep(0.1)
        except TimeoutError:
            wanted = State.State.Name(state)
            raise AssertionError(f"{model}/{version} is not {wanted}: {last}\n{self.patcher.tail(40)}") from None

    def _watch(self, model: str, version: int) -> AsyncIterator[pb.Deployment]:
        name = f"models/{model}/deployments/{version}"
        watch: AsyncIterator[pb.Deployment] = self.deployments.WatchDeployment(pb.WatchDeploymentRequest(name=name))
        return watch

    async def placed(self, model: str) -> dict[str, tuple[str, ...]]:
        entry = await self.consul.kv.get(PLACEMENTS + model)
        document = read(Placements, entry.value) if entry else None
        return dict(document.versions) if document else {}
