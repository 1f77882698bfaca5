"""Uploads: received piece by piece, resumable, one writer at a time for each artefact."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

from bmase.reasons import Reason
from bmase.registry.v1 import registry_pb2 as pb

from services.kit.errors import DomainError
from services.registry.artefacts import Artefacts
from services.registry.staging import StagedFile, Staging, UploadId, parse_id, told, unknown

# Received and not yet written; with what gRPC holds, this is the memory of an upload.
PENDING_BYTES = 8 * 1024 * 1024
# A writer that is silent gives way: after this long, or much sooner when another one waits.
IDLE_SECONDS = 60.0
IDLE_SECONDS_WITH_OTHERS = 5.0


class Piece(NamedTuple):
    """One message of WriteArtefact."""

    upload_id: str
    offset: int
    data: memoryview


class _Slot:
    """The turn to write one upload, and its file between writers."""

    def __init__(self, file: StagedFile) -> None:
        self.file = file
        self.turn = asyncio.Lock()
        self.users = 0
        self.idle: asyncio.Timeout | None = None

    def hurry(self) -> None:
        """Somebody else waits: the present writer must not be silent for long."""
        if self.idle is not None and self.idle.when() is not None:
            self.idle.reschedule(asyncio.get_running_loop().time() + self.patience())

    def patience(self) -> float:
        return IDLE_SECONDS_WITH_OTHERS if self.users > 1 else IDLE_SECONDS


class Uploads:
    """The way of artefacts into the store."""

    def __init__(self, staging: Staging, artefacts: Artefacts) -> None:
        self._staging = staging
        self._artefacts = artefacts
        self._slots: dict[UploadId, _Slot] = {}
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
            raise _silent(0) from None
        if first is None:
            raise unknown("")
        upload_id = parse_id(first.upload_id)
        slot = self._slots.setdefault(upload_id, _Slot(StagedFile(self._staging.path(upload_id))))
        slot.users += 1
        slot.hurry()
        try:
            async with slot.turn:
                return await self._receive(upload_id, slot, first, pieces)
        finally:
            slot.users -= 1
            if not slot.users and not slot.file.path.exists():
                self._slots.pop(upload_id, None)

    async def give_up(self, older_than_seconds: float, *, dry_run: bool) -> list[UploadId]:
        """Removes uploads that nobody has written to for so long, and returns them."""
        found = await asyncio.to_thread(self._staging.abandoned, older_than_seconds)
        idle = [upload_id for upload_id in found if upload_id not in self._slots or not self._slots[upload_id].users]
        for upload_id in [] if dry_run else idle:
            self._slots.pop(upload_id, None)
            self._staging.remove(upload_id)
        return idle

    async def _stored(self, upload_id: UploadId) -> bool:
        known = (await self._artefacts.claim([upload_id.digest])).get(upload_id.digest)
        if known is not None and known.size != upload_id.size:
            raise DomainError(
                Reason.SIZE_MISMATCH,
                f"{upload_id.digest} is stored and has {known.size} bytes, not {upload_id.size}",
                field="size_bytes",
            )
        return known is not None

    async def _receive(self, upload_id: UploadId, slot: _Slot, first: Piece, pieces: AsyncIterator[Piece]) -> pb.Upload:
        if await self._stored(upload_id):  # whoever wrote before us has finished it
            return _complete(upload_id)
        file = slot.file
        with told(self._staging.folder):
            length = await self._staging.run(file.open)
            try:
                _check_offset(first.offset, length)
                inflow = _Inflow(self._staging, slot, upload_id.size, length)
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


class _Inflow:
    """Moves pieces from a stream into a file: receiving, writing and hashing go on at the same time."""

    def __init__(self, staging: Staging, slot: _Slot, size: int, length: int) -> None:
        self._staging = staging
        self._slot = slot
        self._size = size
        self.received = length
        self._pending: list[memoryview] = []
        self._pending_bytes = 0
        self._storing: asyncio.Task[None] | None = None
        self._syncing: asyncio.Task[None] | None = None

    async def drain(self, first: Piece, pieces: AsyncIterator[Piece]) -> None:
        """Everything up to the end of the stream; the file is at rest afterwards."""
        slot, loop = self._slot, asyncio.get_running_loop()
        try:
            await self._take(first.data)
            async with asyncio.timeout(slot.patience()) as slot.idle:
                async for piece in pieces:
                    slot.idle.reschedule(None)
                    await self._take(piece.data)
                    slot.idle.reschedule(loop.time() + slot.patience())
        except TimeoutError:
            raise _silent(self.received) from None
        finally:
            slot.idle = None
            await self._settle()

    async def _take(self, data: memoryview) -> None:
        if not len(data):
            return
        if self.received + len(data) > self._size:
            raise _too_much(self._size)
        self.received += len(data)
        self._pending.append(data)
        self._pending_bytes += len(data)
        if self._storing is not None and (self._storing.done() or self._pending_bytes >= PENDING_BYTES):
            await self._storing
            self._storing = None
        if self._storing is None:
            pieces, self._pending, self._pending_bytes = self._pending, [], 0
            self._storing = asyncio.create_task(self._store(pieces))

    async def _store(self, pieces: list[memoryview]) -> None:
        file, run = self._slot.file, self._staging.run
        jobs = [asyncio.create_task(run(file.write, pieces)), asyncio.create_task(run(file.hash, pieces))]
        await _all(jobs)
        if self._syncing is None or self._syncing.done():
            if self._syncing is not None:
                self._syncing.result()
            self._syncing = asyncio.create_task(run(file.sync))

    async def _settle(self) -> None:
        """Everything that was received is in the file unless the disk refused it, and no thread touches it any more."""
        try:
            if self._storing is not None:
                await self._storing
            if self._pending:
                await self._store(self._pending)
        finally:
            if self._syncing is not None:
                await self._syncing


async def _all(jobs: list[asyncio.Task[Any]]) -> None:
    """Waits for all of them, also when one fails or the caller is cancelled; then raises what the first failure
    raised.
    """
    try:
        await asyncio.wait(jobs)
    except asyncio.CancelledError:
        await asyncio.wait(jobs)
        raise
    for job in jobs:
        job.result()


def _too_much(size: int) -> DomainError:
    return DomainError(
        Reason.SIZE_MISMATCH,
        f"more than the announced {size} bytes arrived",
        hint="Start an upload with the right size.",
    )


def _check_offset(given: int, kept: int) -> None:
    if given != kept:
        raise DomainError(
            Reason.UPLOAD_OFFSET_MISMATCH,
            f"the upload goes on at byte {kept}, not {given}",
            field="offset",
            hint="Ask GetUpload for the offset and go on from there.",
            metadata={"offset": str(kept)},
        )


def _silent(received: int) -> DomainError:
    return DomainError(
        Reason.DEADLINE_EXCEEDED,
        f"no data arrived for a while; {received} bytes are kept",
        hint="Go on from there.",
        metadata={"offset": str(received)},
    )


def _upload(upload_id: UploadId, offset: int) -> pb.Upload:
    return pb.Upload(id=str(upload_id), digest=upload_id.digest, size_bytes=upload_id.size, offset=offset)


def _complete(upload_id: UploadId) -> pb.Upload:
    made = _upload(upload_id, upload_id.size)
    made.complete = True
    return made
