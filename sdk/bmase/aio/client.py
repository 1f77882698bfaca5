"""The asyncio client: one address for models, deployments, routes and inference."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from bmase import connection, layout, names, settings, sources
from bmase.aio.jobs import Jobs
from bmase.aio.pipelines import Pipelines, Schedules
from bmase.aio.registry import Models, Versions
from bmase.aio.releases import Monitor, Releases
from bmase.aio.serving import Deployments, Nodes, Routes
from bmase.aio.transfers import transfer
from bmase.aio.wire import Wire
from bmase.core import registry
from bmase.core.deployments import DEPLOY_TIMEOUT, ignore
from bmase.core.registry import NewVersion
from bmase.errors import AlreadyExists
from bmase.patcher.v1 import deployment_pb2
from bmase.progress import Listener, silent
from bmase.registry.v1 import registry_pb2

if TYPE_CHECKING:
    from bmase.core.inference import Outputs, Parameter


class Client:
    """A connection to the gateway, for one event loop.

    What is not given is looked up (see `bmase.settings`). The answers are the messages of the contract
    (`bmase.registry.v1`, `bmase.patcher.v1`, `bmase.gateway.v1`); every failure is a `bmase.errors.BmaseError`.
    """

    def __init__(
        self,
        address: str | None = None,
        *,
        token: str | None = None,
        ca: str | None = None,
        cert: str | None = None,
        key: str | None = None,
        tls: bool | None = None,
    ) -> None:
        given = {"address": address, "token": token, "ca": ca, "cert": cert, "key": key, "tls": tls}
        found = settings.resolve(given).settings
        self.wire = Wire(found)
        self.models = Models(self.wire)
        self.versions = Versions(self.wire)
        self.deployments = Deployments(self.wire)
        self.nodes = Nodes(self.wire)
        self.routes = Routes(self.wire)
        self.releases = Releases(self.wire)
        self.monitor = Monitor(self.wire)
        self.pipelines = Pipelines(self.wire)
        self.schedules = Schedules(self.wire)
        self.jobs = Jobs(self.wire)

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Ends the connection."""
        await self.wire.close()

    async def push(
        self,
        model: str,
        paths: Path | str | Sequence[Path | str],
        new: NewVersion | None = None,
        *,
        alias: str = "",
        evidence: Sequence[Path | str] = (),
        progress: Listener = silent,
        existing: Callable[[registry_pb2.Version], None] = registry.ignore,
    ) -> registry_pb2.Version:
        """Makes a version from local files (see `bmase.sources`) and points the alias at it.

        `evidence`: files and folders that are kept beside the version and never served.
        After a break the same call goes on where it stopped. A version of the model that has exactly this content
        already is AlreadyExists, unless an alias is given: then `existing` is told of it, the alias is pointed at it,
        and it is returned as it is.
        """
        if alias:
            names.alias(alias)  # before anything is sent
        chosen = [Path(p) for p in ([paths] if isinstance(paths, Path | str) else paths)]
        found = await asyncio.to_thread(sources.collect, chosen, [Path(p) for p in evidence])
        local = [source.local for source in found]
        stored = await transfer(self.wire.settings, progress, lambda running: running.upload(local))
        files = sources.messages(found, stored)
        call = registry.create_version(model, files, new or NewVersion(), registry.new_request_id())
        try:
            version = await self.wire.send(call)
        except AlreadyExists as error:
            if not alias:
                raise
            version = await self.versions.get(model, registry.equal_version(error))
            existing(version)
        if alias:
            await self.models.set_alias(model, alias, version.number)
        return version

    async def upload(self, path: Path | str, *, progress: Listener = silent) -> str:
        """Brings one file into the registry, as jobs want their code; its digest."""
        stored = await transfer(self.wire.settings, progress, lambda running: running.upload([Path(path)]))
        return stored[0].digest

    async def pull(
        self, model: str, version: int | str | None, dest: Path | str, *, progress: Listener = silent
    ) -> registry_pb2.Version:
        """Brings a version's files below `dest`, in Triton's layout, each verified by its digest.

        Samples (`samples/**.pb`) and evidence (`evidence/**`) that are not the version's are removed from there.
        """
        found = await self.versions.get(model, version)
        wanted = layout.fetches(found, Path(dest))
        await asyncio.to_thread(layout.remove_others, found, Path(dest))
        await transfer(self.wire.settings, progress, lambda running: running.download(wanted))
        return found

    async def pull_evidence(
        self, model: str, version: int | str | None, dest: Path | str, name: str = "", *, progress: Listener = silent
    ) -> list[Path]:
        """Brings what is kept beside a version below `dest`, verified: all of it, or one file or folder by name."""
        wanted = layout.evidence_fetches(await self.versions.get(model, version), Path(dest), name)
        await transfer(self.wire.settings, progress, lambda running: running.download(wanted))
        return [fetch.target for fetch in wanted]

    async def deploy(
        self,
        model: str,
        version: int | str | None = None,
        *,
        replicas: int = 1,
        pool: str = "",
        memory_bytes: int = 0,
        no_route: bool = False,
        wait: bool = True,
        timeout: float = DEPLOY_TIMEOUT,
        progress: Callable[[deployment_pb2.Deployment], None] = ignore,
    ) -> deployment_pb2.Deployment:
        """Puts a version on nodes, and waits until it answers; `progress` gets the deployment at each change."""
        made = await self.deployments.create(
            model, version, replicas=replicas, pool=pool, memory_bytes=memory_bytes, no_route=no_route
        )
        return await self.deployments.wait(model, made.version, progress, timeout=timeout) if wait else made

    async def undeploy(
        self,
        model: str,
        version: int,
        *,
        force: bool = False,
        wait: bool = True,
        timeout: float = DEPLOY_TIMEOUT,
        progress: Callable[[deployment_pb2.Deployment], None] = ignore,
    ) -> deployment_pb2.Deployment:
        """Takes a version out of service without losing a request, and waits until it is unloaded."""
        leaving = await self.deployments.delete(model, version, force=force)
        return await self.deployments.wait_gone(model, version, progress, timeout=timeout) if wait else leaving

    async def infer(
        self,
        model: str,
        inputs: Mapping[str, Any],
        version: int | str | None = None,
        *,
        outputs: Iterable[str] = (),
        parameters: Mapping[str, Parameter] | None = None,
        datatypes: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        request_id: str = "",
        timeout: float | None = None,
    ) -> Outputs:
        """Arrays in, arrays out; without a version the route decides. BYTES come as bytes objects, BF16 as float32."""
        from bmase.core import inference  # noqa: PLC0415  tritonclient and numpy take half a second

        call = inference.infer(
            model,
            inputs,
            version,
            outputs=outputs,
            parameters=parameters or {},
            datatypes=datatypes or {},
            request_id=request_id,
        )
        return inference.read(await self.wire.send(call.within(timeout), connection.headers(headers)))

    async def live(self) -> bool:
        """Whether the serving side is up."""
        from bmase.core import inference  # noqa: PLC0415

        return bool((await self.wire.send(inference.server_live())).live)

    async def ready(self, model: str, version: int | str | None = None) -> bool:
        """Whether requests for the model are answered."""
        from bmase.core import inference  # noqa: PLC0415

        return bool((await self.wire.send(inference.model_ready(model, version))).ready)

    async def metadata(self, model: str, version: int | str | None = None) -> Any:
        """Names, types and shapes of the model's tensors, as tritonclient's ModelMetadataResponse."""
        from bmase.core import inference  # noqa: PLC0415

        return await self.wire.send(inference.model_metadata(model, version))
