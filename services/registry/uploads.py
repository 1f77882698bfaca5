"""Uploads: received piece by piece, resumable, one writer at a time for each artefact."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog
from bmase.reasons import Reason
from bmase.registry.v1 import registry_pb2 as pb

from services.kit.errors import DomainError
from services.registry.artefacts import Artefacts
from services.registry.inflow import IDLE_SECONDS, Inflow, Piece, Slot, silent
from services.registry.staging import StagedFile, Staging, UploadId, parse_id, told, unknown

log = structlog.get_logger(__name__)

# Each takes a few megabytes of memory; more clients than this wait for each other.
MAX_RECEIVING = 8


class Uploads:
    """The way of artefacts into the store."""

    def __init__(self, staging: Staging, artefacts: Artefacts) -> None:
        self._staging = staging
        self._artefacts = artefacts
        self._slots: dict[UploadId, Slot] = {}
        self._places = asyncio.Semaphore(MAX_RECEIVING)
        self._waiting = 0
        self.received_bytes = 0

    @property
    def running(self) -> int:
        """Uploads that somebody writes at the moment."""
        return sum(slot.users > 0 for slot in self._slots.values())

    async def start(self, upload_id: UploadId) -> pb.Upload:
        """Finds or begins an upload; complete at once when the artefact is stored."""
        if await self._stored(upload_id):
            return _complete(upload_id)
        kept = await asyncio.to_thread(self._staging.begin, upload_id)
        return _upload(upload_id, kept)

    async def get(self, upload_id: UploadId) -> pb.Upload:
        """How far an upload has come; UPLOAD_NOT_FOUND."""
        if await self._stored(upload_id):
            return _complete(upload_id)
        kept = await asyncio.to_thread(self._staging.length, upload_id)
        if kept is None:
            raise unknown(upload_id)
        return _upload(upload_id, kept)

    async def write(self, pieces: AsyncIterator[Piece]) -> pb.Upload:
        """Receives from the offset in the first piece to the end of the stream.

        UPLOAD_OFFSET_MISMATCH with the right offset in the metadata, SIZE_MISMATCH, DIGEST_MISMATCH, STORAGE_FULL. What
        was received before an error is kept, except when the whole turned out to have another digest.
        """
        try:
            async with asyncio.timeout(IDLE_SECONDS):
                first = await anext(pieces, None)
        except TimeoutError:
            raise silent(0) from None
        if first is None:
            raise unknown("")
        upload_id = parse_id(first.upload_id)
        slot = self._slots.setdefault(upload_id, Slot(StagedFile(self._staging.path(upload_id)), self._crowded))
        slot.users += 1
        try:
            slot.hurry()
            async with slot.turn, self._place():
                return await self._receive(upload_id, slot, first, pieces)
        finally:
            slot.users -= 1
            if not slot.users and not slot.file.path.exists():
                self._slots.pop(upload_id, None)

    def _crowded(self) -> bool:
        return self._waiting > 0

    @asynccontextmanager
    async def _place(self) -> AsyncIterator[None]:
        """One of the few places; those who have one and are silent lose it soon when others wait."""
        self._waiting += 1
        try:
            if self._places.locked():
                for slot in self._slots.values():
                    slot.hurry()
            await self._places.acquire()
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._places.release()

    async def give_up(self, older_than_seconds: float, *, dry_run: bool) -> list[UploadId]:
        """Removes uploads that nobody has written to for so long, and returns them."""
        found = await asyncio.to_thread(self._staging.abandoned, older_than_seconds)
        idle = [upload_id for upload_id in found if upload_id not in self._slots or not self._slots[upload_id].users]
        return idle if dry_run else [upload_id for upload_id in idle if self._forgotten(upload_id)]

    def _forgotten(self, upload_id: UploadId) -> bool:
        """Whether the upload could be removed; one that cannot is left for the next time."""
        self._slots.pop(upload_id, None)
        try:
            self._staging.remove(upload_id)
        except DomainError as error:
            log.warning("uploads.not_removed", upload=str(upload_id), reason=error.reason.value, message=error.message)
            return False
        return True

    async def _stored(self, upload_id: UploadId) -> bool:
        """Whether the artefact is there; one whose bytes were lost is received again."""
        known = (await self._artefacts.claim([upload_id.digest])).get(upload_id.digest)
        if known is not None and known.size != upload_id.size:
            raise DomainError(
                Reason.SIZE_MISMATCH,
                f"{upload_id.digest} is stored and has {known.size} bytes, not {upload_id.size}",
                field="size_bytes",
            )
        return known is not None and await self._artefacts.is_whole(known)

    async def _receive(self, upload_id: UploadId, slot: Slot, first: Piece, pieces: AsyncIterator[Piece]) -> pb.Upload:
        if await self._stored(upload_id):  # whoever wrote before us has finished it
            return _complete(upload_id)
        file = slot.file
        with told(self._staging.folder):
            length = await self._staging.run(file.open)
            try:
                _check_offset(first.offset, length)
                inflow = Inflow(self._staging, slot, upload_id.size, length)
                try:
                    await inflow.drain(first, pieces)
                finally:
                    self.received_bytes += inflow.received - length
                length = inflow.received
                if length < upload_id.size:
                    return _upload(upload_id, length)
                await self._finish(upload_id, file)
            finally:
                file.close()
        return _complete(upload_id)

    async def _finish(self, upload_id: UploadId, file: StagedFile) -> None:
        digest = file.digest()
        if digest != upload_id.digest:
            file.remove()
            raise DomainError(
                Reason.DIGEST_MISMATCH,
                f"the {upload_id.size} bytes that arrived have the digest {digest}, not {upload_id.digest}",
                hint="The file was changed or damaged on the way: begin again.",
                metadata={"digest": digest},
            )
        await self._artefacts.put(upload_id.digest, upload_id.size, file.handed_over())
        file.remove()


def _check_offset(given: int, kept: int) -> None:
    if given != kept:
        raise DomainError(
            Reason.UPLOAD_OFFSET_MISMATCH,
            f"the upload goes on at byte {kept}, not {given}",
            field="offset",
            hint="Ask GetUpload for the offset and go on from there.",
            metadata={"offset": str(kept)},
        )


def _upload(upload_id: UploadId, offset: int) -> pb.Upload:
    return pb.Upload(id=str(upload_id), digest=upload_id.digest, size_bytes=upload_id.size, offset=offset)


def _complete(upload_id: UploadId) -> pb.Upload:
    made = _upload(upload_id, upload_id.size)
    made.complete = True
    return made
