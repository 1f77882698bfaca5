"""What jobs need of the registry: files of versions brought here, and a version made of what a job has given."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import grpc
from bmase import sources
from bmase.reasons import Reason
from bmase.registry.v1 import registry_pb2 as pb
from bmase.registry.v1.registry_pb2_grpc import RegistryServiceStub
from google.protobuf import json_format

from services.kit.errors import DomainError, translated
from services.trainer.engine.attempt import Brought

CALL_SECONDS = 30.0
CHUNK = 2**20
Answer = TypeVar("Answer")


@dataclass(frozen=True)
class NewVersion:
    """What the registry is told beside the files."""

    model: str
    description: str
    labels: Mapping[str, str]
    lineage: pb.Lineage
    metrics: Mapping[str, float]
    request_id: str


class Registry:
    """Its refusals pass on as they are; SERVICE_UNAVAILABLE when it does not answer."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = RegistryServiceStub(channel)

    async def bring(self, name: str, folder: Path) -> Brought:
        """The files of "model@version" that a node would have, and its evidence, below `folder`."""
        model, _, number = name.partition("@")
        resource = f"models/{model}/versions/{number or 'latest'}"
        version = await _answered(self._stub.GetVersion(pb.GetVersionRequest(name=resource), timeout=CALL_SECONDS))
        for file in version.files:
            parts = Path(file.path).parts
            if not parts or ".." in parts or Path(file.path).is_absolute():
                raise DomainError(Reason.INVALID_FIELD, f"{name} has a file {file.path!r} that leaves its folder")
            await self.artefact(file.digest, folder / file.path)
        found = json_format.MessageToDict(version)
        return Brought(name=f"{model}@{version.number}", folder=folder, version=found)

    async def artefact(self, digest: str, target: Path) -> None:
        """One artefact, verified."""
        target.parent.mkdir(parents=True, exist_ok=True)
        found = hashlib.sha256()
        try:
            with target.open("wb") as out:
                async for part in self._stub.ReadArtefact(pb.ReadArtefactRequest(digest=digest)):
                    found.update(part.data)
                    out.write(part.data)
        except grpc.aio.AioRpcError as error:
            raise translated(error, "registry") from error
        if f"sha256:{found.hexdigest()}" != digest:
            raise DomainError(Reason.DIGEST_MISMATCH, f"what the registry sent for {digest} is not that")

    async def document(self, digest: str, most: int) -> bytes:
        """One small artefact, verified; INVALID_FIELD when it has more than `most` bytes."""
        found = bytearray()
        call = self._stub.ReadArtefact(pb.ReadArtefactRequest(digest=digest), timeout=CALL_SECONDS)
        try:
            async for part in call:
                found += part.data
                if len(found) > most:
                    call.cancel()
                    raise DomainError(Reason.INVALID_FIELD, f"{digest} has more than {most} bytes", field="digest")
        except grpc.aio.AioRpcError as error:
            raise translated(error, "registry") from error
        if f"sha256:{hashlib.sha256(found).hexdigest()}" != digest:
            raise DomainError(Reason.DIGEST_MISMATCH, f"what the registry sent for {digest} is not that")
        return bytes(found)

    async def put(self, files: Sequence[sources.Source]) -> list[pb.File]:
        """Stores what it does not have yet, for a version that is created of it."""
        return [pb.File(path=s.path, digest=await self._put(s.local), role=s.role) for s in files]

    async def made_by(self, model: str, job: str) -> int:
        """The number of the model's version that the job has made; 0: there is none."""
        request = pb.ListVersionsRequest(parent=f"models/{model}", filter=f'lineage.job="{job}"', page_size=1)
        try:
            answer = await _answered(self._stub.ListVersions(request, timeout=CALL_SECONDS))
        except DomainError as error:
            if error.reason is not Reason.MODEL_NOT_FOUND:
                raise
            return 0
        return int(answer.versions[0].number) if answer.versions else 0

    async def create(self, new: NewVersion, files: Sequence[pb.File]) -> int:
        """The number of the version; the same one when it is asked the same again."""
        version = pb.Version(
            description=new.description, labels=new.labels, files=files, lineage=new.lineage, metrics=new.metrics
        )
        request = pb.CreateVersionRequest(
            parent=f"models/{new.model}", version=version, request_id=new.request_id, create_model=True
        )
        made = await _answered(self._stub.CreateVersion(request, timeout=CALL_SECONDS))
        return int(made.number)

    async def _put(self, file: Path) -> str:
        digest, size = await asyncio.to_thread(_digest, file)
        start = pb.StartUploadRequest(digest=digest, size_bytes=size)
        upload = await _answered(self._stub.StartUpload(start, timeout=CALL_SECONDS))
        if not upload.complete:
            upload = await _answered(self._stub.WriteArtefact(_chunks(file, upload)))
        if not upload.complete:
            raise DomainError(Reason.SERVICE_UNAVAILABLE, f"the registry ended the upload of {file.name} early")
        return digest


async def _chunks(file: Path, upload: pb.Upload) -> AsyncIterator[pb.WriteArtefactRequest]:
    yield pb.WriteArtefactRequest(upload_id=upload.id, offset=upload.offset)
    with file.open("rb") as content:
        content.seek(upload.offset)
        while chunk := await asyncio.to_thread(content.read, CHUNK):
            yield pb.WriteArtefactRequest(data=chunk)


def _digest(file: Path) -> tuple[str, int]:
    with file.open("rb") as content:
        return f"sha256:{hashlib.file_digest(content, 'sha256').hexdigest()}", file.stat().st_size


async def _answered(call: Awaitable[Answer]) -> Answer:
    try:
        return await call
    except grpc.aio.AioRpcError as error:
        raise translated(error, "registry") from error
