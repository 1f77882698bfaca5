"""Brings artefacts from the registry into the store: resumable, verified, one transfer of a digest at a time."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Collection, Sequence
from weakref import WeakValueDictionary

import grpc
from bmase.reasons import Reason
from bmase.registry.v1 import registry_pb2 as pb
from bmase.registry.v1.registry_pb2_grpc import RegistryServiceStub

from services.kit.errors import DomainError, from_rpc_error
from services.patcher.agent.store import Store, full, hash_file, is_full
from services.patcher.documents import DesiredFile

# One call reads this much, so that a deadline can be a bound on silence and not on the size of a model.
RANGE = 64 << 20
RANGE_SECONDS = 60.0

Progress = Callable[[int], None]
Keep = Callable[[], Collection[str]]


class BrokenArtefactError(Exception):
    """What the registry sent is not what the digest says, also when read anew from its beginning."""


class Fetcher:
    """Fetches the files of versions."""

    def __init__(self, channel: grpc.aio.Channel, store: Store, transfers: int = 2) -> None:
        self._registry = RegistryServiceStub(channel)
        self._store = store
        self._turns = asyncio.Semaphore(transfers)
        # A lock lives as long as somebody holds it or waits for it.
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def fetch(self, files: Sequence[DesiredFile], keep: Keep, progress: Progress) -> None:
        """Returns when all files are in the store; raises DomainError or BrokenArtefactError.

        `keep` tells the digests that must survive when room is made, asked each time: other versions may come to be
        wanted meanwhile. `progress` is told every number of bytes received.
        """
        for digest, size in {file.digest: file.size_bytes for file in files}.items():
            lock = self._locks.setdefault(digest, asyncio.Lock())
            async with lock, self._turns:
                if not self._store.has(digest, size):
                    await self._bring(digest, size, keep, progress)

    async def _bring(self, digest: str, size: int, keep: Keep, progress: Progress) -> None:
        try:
            resumed = self._received(digest, size)
            await asyncio.to_thread(self._store.make_room, size - resumed, keep())
            right = await self._receive(digest, size, progress)
            if not right and resumed:  # what was there before may have been the broken part
                right = await self._receive(digest, size, progress)
        except OSError as error:
            if not is_full(error):
                raise
            self._store.partial(digest).unlink(missing_ok=True)
            raise full("the node's disk is full") from error
        if not right:
            raise BrokenArtefactError(f"the artefact {digest} that the registry sends does not have that digest")
        await asyncio.to_thread(self._store.commit, digest)

    def _received(self, digest: str, size: int) -> int:
        """Bytes of an earlier transfer; more than there can be are thrown away."""
        partial = self._store.partial(digest)
        with contextlib.suppress(FileNotFoundError):
            if partial.stat().st_size <= size:
                return partial.stat().st_size
            partial.unlink()
        return 0

    async def _receive(self, digest: str, size: int, progress: Progress) -> bool:
        """Receives what is missing; False, with nothing left, when the whole is not what it should be."""
        partial = self._store.partial(digest)
        partial.touch()
        hasher = await asyncio.to_thread(hash_file, partial)
        offset = partial.stat().st_size
        progress(offset)
        with partial.open("ab") as file:

            def keep(data: bytes) -> None:
                file.write(data)
                hasher.update(data)
                progress(len(data))

            while offset < size:
                offset += await self._receive_range(digest, offset, size, keep)
                file.flush()
        if offset == size and f"sha256:{hasher.hexdigest()}" == digest:
            return True
        partial.unlink(missing_ok=True)
        return False

    async def _receive_range(self, digest: str, offset: int, size: int, keep: Callable[[bytes], None]) -> int:
        """Bytes received; a stream that breaks off after some of them is simply asked again from there."""
        request = pb.ReadArtefactRequest(digest=digest, offset=offset, length=min(RANGE, size - offset))
        received = 0
        try:
            async for answer in self._registry.ReadArtefact(request, timeout=RANGE_SECONDS):
                await asyncio.to_thread(keep, answer.data)
                received += len(answer.data)
        except grpc.aio.AioRpcError as error:
            if not received:
                raise _translated(error) from error
        if not received:
            raise DomainError(Reason.DIGEST_MISMATCH, f"the registry's artefact {digest} is shorter than it says")
        return received


def _translated(error: grpc.aio.AioRpcError) -> DomainError:
    known = from_rpc_error(error)
    if known is not None:
        return known
    return DomainError(Reason.SERVICE_UNAVAILABLE, f"the registry does not answer ({error.code().name.lower()})")
