"""Artefacts: bytes under their digest, stored once however often they are used.

Each stored blob has a key of its own (digest and a nonce) that is never used twice. Before a blob is put, and from the
moment its artefact is removed, the key stands in `spare_blobs`. So whatever is interrupted or raced, a blob either
belongs to an artefact, or is announced as spare and will be removed; and removing a spare one can never hit an
artefact.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from bmase.reasons import Reason
from bmase.registry.v1 import registry_pb2 as pb
from sqlalchemy import delete, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from services.kit.blob import BlobStore
from services.kit.database import Database, is_duplicate
from services.kit.errors import DomainError
from services.registry import content, moments
from services.registry.tables import artefacts, spare_blobs


@dataclass(frozen=True, slots=True)
class Artefact:
    """A stored artefact."""

    digest: str
    size: int
    blob_key: str
    create_time: int


class Artefacts:
    """What is stored, and how it gets there."""

    def __init__(self, database: Database, store: BlobStore) -> None:
        self._database = database
        self.store = store

    async def find(self, digest: str) -> Artefact | None:
        """The artefact, or None."""
        async with self._database.read() as session:
            return (await _select(session, [digest])).get(digest)

    async def get(self, digest: str) -> Artefact:
        """The artefact; ARTEFACT_NOT_FOUND."""
        found = await self.find(digest)
        if found is None:
            raise not_found(digest)
        return found

    async def claim(self, digests: Iterable[str]) -> dict[str, Artefact]:
        """Those of the digests that are stored; garbage collection leaves them alone for its minimum age from now
        on.
        """
        wanted = sorted(set(digests))
        async with self._database.read() as session:
            if not await _select(session, wanted):
                return {}

        async def work(session: AsyncSession) -> dict[str, Artefact]:
            await session.execute(
                update(artefacts).where(artefacts.c.digest.in_(wanted)).values(touch_time=moments.now())
            )
            return await _select(session, wanted)

        return await self._database.run(work)

    async def put_bytes(self, raw: bytes) -> Artefact:
        """Stores small content, or finds it."""
        return await self.put(content.sha256(raw), len(raw), raw)

    async def put(self, digest: str, size: int, source: Path | bytes) -> Artefact:
        """Stores content whose digest and size the caller has verified. A file is taken over by the store: it is
        gone.
        """
        known = (await self.claim([digest])).get(digest)
        if known is not None and await self.is_whole(known):
            return known
        made = Artefact(digest, size, _new_key(digest), moments.now())
        async with self._database.begin() as session:
            await session.execute(spare_blobs.insert().values(blob_key=made.blob_key, since=made.create_time))
        await self.store.put_if_absent(made.blob_key, source, consume=True)
        stored = await self._adopt(made, known)
        if stored.blob_key != made.blob_key:
            await self.discard(made.blob_key)
        return stored

    async def is_whole(self, artefact: Artefact) -> bool:
        """Whether the store still has all bytes of the artefact: a disk that was lost or brought back may not."""
        found = await self.store.head(artefact.blob_key)
        return found is not None and found.size == artefact.size

    async def _adopt(self, made: Artefact, lost: Artefact | None) -> Artefact:
        """Turns a spare blob into the artefact, or gives it to one that lost its own; unless somebody else was first:
        then theirs.
        """
        row = artefacts.c.digest == made.digest

        async def work(session: AsyncSession) -> Artefact:
            known = (await _select(session, [made.digest], lock=True)).get(made.digest)
            if known is not None and (lost is None or known.blob_key != lost.blob_key):
                await session.execute(update(artefacts).where(row).values(touch_time=moments.now()))
                return known
            mine = spare_blobs.c.blob_key == made.blob_key
            if await session.scalar(select(spare_blobs.c.since).where(mine).with_for_update()) is None:
                raise DomainError(
                    Reason.STORE_UNAVAILABLE,
                    "storing the artefact took so long that it was given up",
                    hint="Try again.",
                )
            await session.execute(delete(spare_blobs).where(mine))
            if known is not None:
                await session.execute(spare_blobs.insert().values(blob_key=known.blob_key, since=0))
                found_again = {"blob_key": made.blob_key, "touch_time": moments.now()}
                await session.execute(update(artefacts).where(row).values(found_again))
                return replace(known, blob_key=made.blob_key)
            values = {
                "digest": made.digest,
                "size": made.size,
                "blob_key": made.blob_key,
                "create_time": made.create_time,
                "touch_time": moments.now(),
            }
            await session.execute(artefacts.insert().values(values))
            return made

        try:
            return await self._database.run(work)
        except IntegrityError as error:
            if not is_duplicate(error):
                raise
            return await self._database.run(work)

    async def discard(self, blob_key: str) -> None:
        """Removes a spare blob; it stays announced until it is gone."""
        await self.store.delete(blob_key)
        async with self._database.begin() as session:
            await session.execute(delete(spare_blobs).where(spare_blobs.c.blob_key == blob_key))

    async def stream(self, artefact: Artefact, offset: int, length: int | None) -> AsyncIterator[bytes]:
        """The bytes from an offset; each piece is fetched while the one before is on its way to the reader."""
        pieces = self.store.stream(artefact.blob_key, offset, length)
        coming = asyncio.create_task(_next(pieces))
        try:
            while (piece := await coming) is not None:
                coming = asyncio.create_task(_next(pieces))
                yield piece
        finally:
            await _given_up(coming, pieces)

    async def read_small(self, artefact: Artefact) -> bytes:
        """All bytes of an artefact whose size the caller has bounded."""
        return b"".join([piece async for piece in self.stream(artefact, 0, None)])


async def _next(pieces: AsyncIterator[bytes]) -> bytes | None:
    return await anext(pieces, None)


async def _given_up(coming: asyncio.Task[bytes | None], pieces: AsyncIterator[bytes]) -> None:
    """A reader that has left, or has all: nothing goes on behind its back."""
    coming.cancel()
    await asyncio.wait([coming])
    if isinstance(pieces, AsyncGenerator):
        await pieces.aclose()


def message(artefact: Artefact) -> pb.Artefact:
    """For the wire."""
    return pb.Artefact(
        digest=artefact.digest, size_bytes=artefact.size, create_time=moments.stamp(artefact.create_time)
    )


def not_found(digest: str, field: str = "digest") -> DomainError:
    """ARTEFACT_NOT_FOUND naming the field that asked for it."""
    return DomainError(
        Reason.ARTEFACT_NOT_FOUND,
        f"no artefact {digest} is stored",
        field=field,
        hint="Upload it first.",
        metadata={"digest": digest},
    )


async def _select(session: AsyncSession, digests: list[str], *, lock: bool = False) -> dict[str, Artefact]:
    columns = (artefacts.c.digest, artefacts.c.size, artefacts.c.blob_key, artefacts.c.create_time)
    wanted = select(*columns).where(artefacts.c.digest.in_(digests))
    found = await session.execute(wanted.with_for_update() if lock else wanted)
    return {row.digest: Artefact(*row) for row in found}


def _new_key(digest: str) -> str:
    plain = digest.removeprefix("sha256:")
    return f"sha256/{plain[:2]}/{plain}-{secrets.token_hex(8)}"
