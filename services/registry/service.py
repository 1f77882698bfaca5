"""RegistryService: decode, call, encode."""

# ruff: noqa: N802 - the contract names the methods

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from bmase.registry.v1 import registry_pb2 as pb
from bmase.registry.v1 import registry_pb2_grpc

from services.kit.decode import decode
from services.kit.errors import InvalidArgument, Violation
from services.registry import artefacts, requests, samples
from services.registry.answers import fingerprint
from services.registry.artefacts import Artefacts
from services.registry.creation import Creation
from services.registry.garbage import Ages, Garbage
from services.registry.inflow import Piece
from services.registry.listing import Lists
from services.registry.models import Models
from services.registry.staging import UploadId, parse_id
from services.registry.transfer import encode_piece
from services.registry.uploads import Uploads
from services.registry.versions import Versions
from services.registry.watch import Watch

FULL_NAME = "bmase.registry.v1.RegistryService"


@dataclass(frozen=True, slots=True)
class Parts:
    """What the service is made of."""

    models: Models
    versions: Versions
    creation: Creation
    lists: Lists
    uploads: Uploads
    artefacts: Artefacts
    garbage: Garbage
    watch: Watch
    ages: Ages


class RegistryServicer(registry_pb2_grpc.RegistryServiceServicer):
    """One method a call of the contract."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    # --- models ---

    async def CreateModel(self, request: pb.CreateModelRequest, context: Any) -> pb.Model:
        return await self._parts.models.create(decode(requests.CreateModel, request), fingerprint(request))

    async def GetModel(self, request: pb.GetModelRequest, context: Any) -> pb.Model:
        return await self._parts.models.get(decode(requests.ModelNamed, request).name.model)

    async def ListModels(self, request: pb.ListModelsRequest, context: Any) -> pb.ListModelsResponse:
        found, token = await self._parts.lists.models(decode(requests.ListModels, request))
        return pb.ListModelsResponse(models=found, next_page_token=token)

    async def UpdateModel(self, request: pb.UpdateModelRequest, context: Any) -> pb.Model:
        return await self._parts.models.update(decode(requests.UpdateModel, request))

    async def DeleteModel(self, request: pb.DeleteModelRequest, context: Any) -> pb.Model:
        asked = decode(requests.DeleteModel, request)
        return await self._parts.models.delete(asked.name.model, asked.etag)

    async def UndeleteModel(self, request: pb.UndeleteModelRequest, context: Any) -> pb.Model:
        return await self._parts.models.undelete(decode(requests.ModelNamed, request).name.model)

    # --- versions ---

    async def CreateVersion(self, request: pb.CreateVersionRequest, context: Any) -> pb.Version:
        asked = decode(requests.CreateVersion, request)
        _check_samples(request)
        return await self._parts.creation.create(asked, request.samples, fingerprint(request))

    async def GetVersion(self, request: pb.GetVersionRequest, context: Any) -> pb.Version:
        return await self._parts.versions.get(*decode(requests.GetVersion, request).name)

    async def ListVersions(self, request: pb.ListVersionsRequest, context: Any) -> pb.ListVersionsResponse:
        found, token = await self._parts.lists.versions(decode(requests.ListVersions, request))
        return pb.ListVersionsResponse(versions=found, next_page_token=token)

    async def UpdateVersion(self, request: pb.UpdateVersionRequest, context: Any) -> pb.Version:
        return await self._parts.versions.update(decode(requests.UpdateVersion, request))

    async def DeleteVersion(self, request: pb.DeleteVersionRequest, context: Any) -> pb.Version:
        return await self._parts.versions.delete(decode(requests.VersionNamed, request).name)

    async def UndeleteVersion(self, request: pb.UndeleteVersionRequest, context: Any) -> pb.Version:
        return await self._parts.versions.undelete(decode(requests.VersionNamed, request).name)

    # --- aliases and holds ---

    async def SetAlias(self, request: pb.SetAliasRequest, context: Any) -> pb.Model:
        return await self._parts.versions.set_alias(decode(requests.SetAlias, request))

    async def DeleteAlias(self, request: pb.DeleteAliasRequest, context: Any) -> pb.Model:
        asked = decode(requests.DeleteAlias, request)
        return await self._parts.versions.delete_alias(asked.model.model, asked.alias)

    async def PutHold(self, request: pb.PutHoldRequest, context: Any) -> pb.Hold:
        asked = decode(requests.HoldOn, request)
        return await self._parts.versions.put_hold(asked.version, asked.holder)

    async def DeleteHold(self, request: pb.DeleteHoldRequest, context: Any) -> pb.DeleteHoldResponse:
        asked = decode(requests.HoldOn, request)
        await self._parts.versions.delete_hold(asked.version, asked.holder)
        return pb.DeleteHoldResponse()

    # --- artefacts ---

    async def StartUpload(self, request: pb.StartUploadRequest, context: Any) -> pb.Upload:
        asked = decode(requests.StartUpload, request)
        return await self._parts.uploads.start(UploadId(asked.digest, asked.size_bytes))

    async def GetUpload(self, request: pb.GetUploadRequest, context: Any) -> pb.Upload:
        return await self._parts.uploads.get(parse_id(decode(requests.UploadNamed, request).id))

    async def WriteArtefact(  # type: ignore[override]  # the requests are taken apart in services.registry.transfer
        self, request_iterator: AsyncIterator[Piece], context: Any
    ) -> pb.Upload:
        return await self._parts.uploads.write(request_iterator)

    async def GetArtefact(self, request: pb.GetArtefactRequest, context: Any) -> pb.Artefact:
        digest = decode(requests.ArtefactNamed, request).digest
        return artefacts.message(await self._parts.artefacts.get(digest))

    async def ReadArtefact(self, request: pb.ReadArtefactRequest, context: Any) -> AsyncIterator[bytes]:
        asked = decode(requests.ReadArtefact, request)
        artefact = await self._parts.artefacts.get(asked.digest)
        if asked.offset > artefact.size:
            raise InvalidArgument([Violation("offset", f"lies beyond the {artefact.size} bytes of the artefact")])
        async for data in self._parts.artefacts.stream(artefact, asked.offset, asked.length or None):
            yield encode_piece(data)

    # --- housekeeping and watching ---

    async def CollectGarbage(self, request: pb.CollectGarbageRequest, context: Any) -> pb.CollectGarbageResponse:
        asked = decode(requests.CollectGarbage, request)
        ages = self._parts.ages if not asked.min_age_seconds else Ages.all(asked.min_age_seconds, self._parts.ages)
        found = await self._parts.garbage.collect(ages, dry_run=asked.dry_run)
        return pb.CollectGarbageResponse(
            artefacts=found.artefacts,
            bytes=found.bytes,
            versions=found.versions,
            models=found.models,
            uploads=found.uploads,
            names=found.names,
        )

    async def WatchModels(self, request: pb.WatchModelsRequest, context: Any) -> AsyncIterator[pb.WatchModelsResponse]:
        asked = decode(requests.WatchModels, request)
        async for event in self._parts.watch.events(asked.from_revision, asked.model.model if asked.model else None):
            yield event


def _check_samples(request: pb.CreateVersionRequest) -> None:
    size = sum(sample.ByteSize() for sample in request.samples)
    if len(request.samples) > samples.MAX_SAMPLES or size > samples.MAX_SAMPLE_BYTES:
        text = f"must be at most {samples.MAX_SAMPLES}, together at most {samples.MAX_SAMPLE_BYTES} bytes"
        raise InvalidArgument([Violation("samples", text)])
