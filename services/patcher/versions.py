"""What the patcher needs from the registry: a version's files, and the hold that keeps it."""

from __future__ import annotations

from dataclasses import dataclass

import grpc
from bmase.reasons import Reason
from bmase.registry.v1 import registry_pb2 as pb
from bmase.registry.v1.registry_pb2_grpc import RegistryServiceStub

from services.kit.errors import DomainError, translated
from services.patcher.documents import DesiredFile, FileRole
from services.patcher.state import Deployment

CALL_SECONDS = 10.0
# A model's session holds more than its file: activations, and the process that runs it.
MEMORY_BASE = 64 << 20
MEMORY_FACTOR = 1.5

# What a node needs of a version. Evidence is not among it, nor is a role that a later contract may bring.
_ROLES = {
    pb.File.ROLE_MODEL: FileRole.MODEL,
    pb.File.ROLE_CONFIG: FileRole.CONFIG,
    pb.File.ROLE_SAMPLE: FileRole.SAMPLE,
}
_GONE = frozenset({Reason.VERSION_NOT_FOUND, Reason.MODEL_NOT_FOUND})


@dataclass(frozen=True, slots=True)
class Found:
    """A version that exists, as far as serving it is concerned."""

    number: int
    digest: str
    backend: str
    files: tuple[DesiredFile, ...]

    @property
    def memory_bytes(self) -> int:
        """An estimate for one node."""
        size = sum(file.size_bytes for file in self.files if file.role is FileRole.MODEL)
        return MEMORY_BASE + int(size * MEMORY_FACTOR)


class Versions:
    """Calls to the registry; its refusals pass on as they are."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._registry = RegistryServiceStub(channel)

    async def find(self, model: str, version: str) -> Found:
        """The version by number, alias or "latest"; raises VERSION_NOT_FOUND, MODEL_NOT_FOUND, SERVICE_UNAVAILABLE."""
        name = f"models/{model}/versions/{version}"
        try:
            found = await self._registry.GetVersion(pb.GetVersionRequest(name=name), timeout=CALL_SECONDS)
        except grpc.aio.AioRpcError as error:
            raise translated(error, "registry") from error
        if found.HasField("delete_time"):
            raise DomainError(
                Reason.VERSION_NOT_FOUND, f"{name} is deleted", hint="Undelete it first, or deploy another version."
            )
        return Found(found.number, found.digest, _backend(found), served(found))

    async def hold(self, deployment: Deployment) -> DomainError | None:
        """Keeps the version from being deleted. The error, if it is one that lasts; others are raised."""
        request = pb.PutHoldRequest(version=deployment.version_name, holder=deployment.name)
        try:
            await self._registry.PutHold(request, timeout=CALL_SECONDS)
        except grpc.aio.AioRpcError as error:
            refusal = translated(error, "registry")
            if refusal.reason in _GONE:
                return refusal
            raise refusal from error
        return None

    async def release(self, deployment: Deployment) -> None:
        """Gives the hold back; a version that is gone needs none."""
        request = pb.DeleteHoldRequest(version=deployment.version_name, holder=deployment.name)
        try:
            await self._registry.DeleteHold(request, timeout=CALL_SECONDS)
        except grpc.aio.AioRpcError as error:
            refusal = translated(error, "registry")
            if refusal.reason not in _GONE:
                raise refusal from error


def _backend(version: pb.Version) -> str:
    if version.serving.backend:
        return str(version.serving.backend)
    return "onnxruntime" if version.format == pb.FORMAT_ONNX else ""


def served(version: pb.Version) -> tuple[DesiredFile, ...]:
    """The files that a node gets."""
    return tuple(
        DesiredFile(path=file.path, digest=file.digest, size_bytes=file.size_bytes, role=role)
        for file in version.files
        if (role := _role(file)) is not None
    )


def _role(file: pb.File) -> FileRole | None:
    if file.role == pb.File.ROLE_UNSPECIFIED:
        return FileRole.CONFIG if file.path == "config.pbtxt" else FileRole.MODEL
    return _ROLES.get(file.role)
