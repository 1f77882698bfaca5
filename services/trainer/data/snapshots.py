"""Data kept with a version: every file under its digest in the blob store, so it is there once and cannot be lost.

    data/sha256/ab/abcd...        a file, shared by all snapshots that hold it
    data/manifests/abcd....json   the manifest, written last: where it is, all its files are

Nothing is deleted here: other snapshots may hold the same file.
"""

from __future__ import annotations

import asyncio
import hashlib
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from bmase.reasons import Reason

from services.kit.blob import BlobStore
from services.kit.errors import DomainError
from services.trainer.data.manifest import File, Manifest
from services.trainer.data.sources import CHUNK_BYTES, Places, Source, Spool, expect

AT_ONCE = 4
SMALL_BYTES = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Kept:
    """What a snapshot holds and what of it was new to the store."""

    digest: str
    files: int
    size: int
    new_files: int
    new_bytes: int


async def snapshot(manifest: Manifest, store: BlobStore, source: Source | None = None) -> Kept:
    """Puts into the store what it has not yet; what is put is what was verified, byte by byte.

    Raises DIGEST_MISMATCH, DATA_NOT_FOUND, STORAGE_FULL, STORE_UNAVAILABLE; what was put by then is found next time.
    """
    files = list({file.sha256: file for file in manifest.files}.values())
    source = source or Places()
    new: list[File] = []
    for start in range(0, len(files), AT_ONCE):
        some = files[start : start + AT_ONCE]
        done = await asyncio.gather(*(_put(file, store, source) for file in some), return_exceptions=True)
        new += _unless_failed(some, done)
    await store.put_if_absent(manifest_key(manifest.digest), manifest.to_json().encode())
    sizes = [sum(file.bytes for file in some) for some in (files, new)]
    return Kept(manifest.digest, len(files), sizes[0], len(new), sizes[1])


async def recorded(store: BlobStore, digest: str) -> Manifest:
    """The manifest of a snapshot; ARTEFACT_NOT_FOUND, or DIGEST_MISMATCH when it is not what its name says."""
    text = b"".join([piece async for piece in store.stream(manifest_key(digest))])
    manifest = Manifest.from_json(text.decode("utf-8", "replace"))
    if manifest.digest != digest:
        raise DomainError(Reason.DIGEST_MISMATCH, f"the store has the manifest {manifest.digest} in place of {digest}")
    return manifest


class Stored:
    """Files from a snapshot, wherever they came from; a `Source` for threads that run no event loop."""

    def __init__(self, store: BlobStore, cache: Path | None = None) -> None:
        self._store = store
        self._spool = Spool(cache)

    @contextmanager
    def open(self, file: File) -> Iterator[BinaryIO]:
        named = file.model_copy(update={"uri": f"blob {file_key(file.sha256)} of the snapshot (it was {file.uri})"})
        with self._spool.hold(named, lambda target: self._fetch(file, target)) as content:
            yield content

    def _fetch(self, file: File, target: BinaryIO) -> None:
        """The store speaks asyncio only; the loop is short-lived and never that of the caller's thread."""
        with ThreadPoolExecutor(1) as thread:
            thread.submit(asyncio.run, self._copy(file, target)).result()

    async def _copy(self, file: File, target: BinaryIO) -> None:
        async for piece in self._store.stream(file_key(file.sha256)):
            target.write(piece)
        target.flush()


def file_key(sha256: str) -> str:
    return f"data/sha256/{sha256[:2]}/{sha256}"


def manifest_key(digest: str) -> str:
    return f"data/manifests/{digest.removeprefix('sha256:')}.json"


async def _put(file: File, store: BlobStore, source: Source) -> bool:
    """Whether the file was new."""
    key = file_key(file.sha256)
    known = await store.head(key)
    if known is not None and known.size == file.bytes:
        return False
    if known is not None:  # half of a blob that a broken disk left
        await store.delete(key)
    taken = await asyncio.to_thread(_taken, file, source)
    try:
        return await store.put_if_absent(key, taken, consume=True)
    finally:
        if isinstance(taken, Path):
            await asyncio.to_thread(taken.unlink, missing_ok=True)


def _taken(file: File, source: Source) -> bytes | Path:
    """A copy of our own, verified: a file that changes after it was opened must not get under the old one's digest."""
    with source.open(file) as content:
        if file.bytes <= SMALL_BYTES:
            raw = content.read(SMALL_BYTES + 1)
            expect(file, hashlib.sha256(raw).hexdigest())
            return raw
        return _copied(file, content)


def _copied(file: File, content: BinaryIO) -> Path:
    digest = hashlib.sha256()
    with tempfile.NamedTemporaryFile(prefix="bmase-data-", delete=False) as copy:
        try:
            while piece := content.read(CHUNK_BYTES):
                digest.update(piece)
                copy.write(piece)
            expect(file, digest.hexdigest())
        except BaseException:
            Path(copy.name).unlink()
            raise
    return Path(copy.name)


def _unless_failed(files: Sequence[File], done: Sequence[bool | BaseException]) -> list[File]:
    for outcome in done:
        if isinstance(outcome, BaseException):
            raise outcome
    return [file for file, created in zip(files, done, strict=True) if created]
