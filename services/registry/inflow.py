"""The way of bytes from a stream into a staged file: received, written and hashed at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any, NamedTuple

from bmase.reasons import Reason

from services.kit.errors import DomainError, InvalidArgument, Violation
from services.registry.staging import StagedFile, Staging

# Received and not yet written; with what gRPC holds, this is the memory of an upload.
PENDING_BYTES = 3 * 1024 * 1024
MAX_PIECE_BYTES = 2 * 1024 * 1024  # of one message: larger ones would make that bound worth nothing
# A writer that is silent gives way: after this long, or much sooner when another one waits.
IDLE_SECONDS = 60.0
IDLE_SECONDS_WITH_OTHERS = 5.0


class Piece(NamedTuple):
    """One message of WriteArtefact."""

    upload_id: str
    offset: int
    data: memoryview


class Slot:
    """The turn to write one upload, and its file between writers."""

    def __init__(self, file: StagedFile, crowded: Callable[[], bool]) -> None:
        self.file = file
        self._crowded = crowded
        self.turn = asyncio.Lock()
        self.users = 0
        self.idle: asyncio.Timeout | None = None

    def hurry(self) -> None:
        """Somebody else waits: the present writer must not be silent for long. One whose time is over is going."""
        if self.idle is not None and self.idle.when() is not None and not self.idle.expired():
            self.idle.reschedule(asyncio.get_running_loop().time() + self.patience())

    def patience(self) -> float:
        return IDLE_SECONDS_WITH_OTHERS if self.users > 1 or self._crowded() else IDLE_SECONDS


class Inflow:
    """Moves pieces from a stream into a file: receiving, writing and hashing go on at the same time."""

    def __init__(self, staging: Staging, slot: Slot, size: int, length: int) -> None:
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
            raise silent(self.received) from None
        finally:
            slot.idle = None
            await self._settle()

    async def _take(self, data: memoryview) -> None:
        if not len(data):
            return
        if len(data) > MAX_PIECE_BYTES:
            raise InvalidArgument([Violation("data", f"has {len(data)} bytes, more than {MAX_PIECE_BYTES}")])
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


def silent(received: int) -> DomainError:
    """DEADLINE_EXCEEDED for a writer that holds its turn and sends nothing."""
    return DomainError(
        Reason.DEADLINE_EXCEEDED,
        f"no data arrived for a while; {received} bytes are kept",
        hint="Go on from there.",
        metadata={"offset": str(received)},
    )
