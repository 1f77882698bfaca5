"""A registry that serves given bytes, and on demand breaks off, lies or goes slow: what the real one never does."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path
from types import TracebackType

import grpc
from bmase.reasons import Reason
from bmase.registry.v1 import registry_pb2 as pb
from bmase.registry.v1 import registry_pb2_grpc

from services.kit.config import ServiceSettings
from services.kit.consul import Consul
from services.kit.errors import DomainError
from services.kit.server import GrpcServer, Registration
from services.patcher.documents import Desired, DesiredFile, FileRole

CHUNK = 64 << 10


def digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


class BytesRegistry(registry_pb2_grpc.RegistryServiceServicer):
    """`content` by digest; `reads` records (digest, offset) of every call."""

    def __init__(self) -> None:
        self.content: dict[str, bytes] = {}
        self.reads: list[tuple[str, int]] = []
        self.pause = 0.0  # between chunks
        self.break_after = -1  # bytes of a call after which the stream fails, once

    def add(self, content: bytes) -> str:
        digest = digest_of(content)
        self.content[digest] = content
        return digest

    def version(self, model: str, number: int, files: dict[str, bytes], generation: int = 1) -> Desired:
        """A version made of these files, as the patcher would tell it to a node."""
        listed = tuple(
            DesiredFile(path=path, digest=self.add(content), size_bytes=len(content), role=_role(path))
            for path, content in files.items()
        )
        whole = digest_of("".join(file.digest for file in listed).encode() + str(number).encode())
        return Desired(model=model, version=number, digest=whole, files=listed, generation=generation)

    async def ReadArtefact(
        self, request: pb.ReadArtefactRequest, context: grpc.aio.ServicerContext
    ) -> AsyncIterator[pb.ReadArtefactResponse]:
        self.reads.append((request.digest, request.offset))
        if request.digest not in self.content:
            raise DomainError(Reason.ARTEFACT_NOT_FOUND, f"there is no artefact {request.digest}")
        content = self.content[request.digest][request.offset :]
        content = content[: request.length] if request.length else content
        for start in range(0, len(content), CHUNK):
            if 0 <= self.break_after <= start:
                self.break_after = -1
                await context.abort(grpc.StatusCode.UNAVAILABLE, "the connection broke off")
            yield pb.ReadArtefactResponse(data=content[start : start + CHUNK])
            await asyncio.sleep(self.pause)


def _role(path: str) -> FileRole:
    if path == "config.pbtxt":
        return FileRole.CONFIG
    return FileRole.SAMPLE if path.endswith(".sample") else FileRole.MODEL


class ServedRegistry:
    """The registry, listening and found through Consul."""

    def __init__(self, consul_url: str, data: Path) -> None:
        self.bytes = BytesRegistry()
        self._url = consul_url
        self._settings = ServiceSettings(data_dir=data, instance="bytes-registry", drain_seconds=0)

    async def __aenter__(self) -> BytesRegistry:
        self._consul = Consul(self._url)
        added = Registration(
            registry_pb2_grpc.add_RegistryServiceServicer_to_server, self.bytes, "bmase.registry.v1.RegistryService"
        )
        self._server = GrpcServer(self._settings, "registry", [added], consul=self._consul)
        await self._server.start()
        return self.bytes

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._server.stop()
        await self._consul.close()
