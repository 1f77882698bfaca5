"""Files that uploads grow in, with their digest kept up to date.

What a file holds is what was received: after a kill its length is the offset to go on from, and the digest is brought
back by reading it. Writing and hashing happen outside the event loop, beside each other, and written data is pushed to
the disk as it comes, so that nothing is left to wait for at the end.
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from bmase.reasons import Reason

from services.kit.errors import DomainError

SYNC_BYTES = 32 * 1024 * 1024
READ_BYTES = 1024 * 1024
_ID = re.compile(r"([0-9a-f]{64})-([0-9]{1,13})")
_SUFFIX = ".part"
WHOLE = ".whole"
_THREADS = 16
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class UploadId:
    """Which artefact an upload is of: it says all, so that nothing else has to be remembered."""

    digest: str
    size: int

    def __str__(self) -> str:
        return f"{self.digest.removeprefix('sha256:')}-{self.size}"


def parse_id(text: str) -> UploadId:
    """UPLOAD_NOT_FOUND for what is no id."""
    found = _ID.fullmatch(text)
    if found is None:
        raise unknown(text)
    return UploadId(f"sha256:{found[1]}", int(found[2]))


def unknown(upload_id: object) -> DomainError:
    """UPLOAD_NOT_FOUND."""
    return DomainError(
        Reason.UPLOAD_NOT_FOUND, f"there is no upload {str(upload_id)[:80]!r}", hint="Call StartUpload (again)."
    )


class StagedFile:
    """One file that grows. Its methods block, and only one caller at a time may use it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._hash = hashlib.sha256()
        self._hashed = 0
        self._descriptor = -1
        self._synced = 0
        self._length = 0

    def open(self) -> int:
        """Opens the file for appending and catches up with what it holds; returns its length."""
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._length = self._synced = os.fstat(self._descriptor).st_size
        if self._hashed != self._length:
            self._hash_again()
        return self._length

    def write(self, pieces: list[memoryview]) -> int:
        """Appends; returns the new length. What was written before an error stays."""
        for piece in pieces:
            written = 0
            while written < len(piece):
                count = os.write(self._descriptor, piece[written:] if written else piece)
                written += count
                self._length += count
        return self._length

    def hash(self, pieces: list[memoryview]) -> None:
        """Takes the same pieces into the digest."""
        for piece in pieces:
            self._hash.update(piece)
            self._hashed += len(piece)

    def sync(self) -> None:
        """Makes what was written so far durable, when enough has come together for that."""
        if self._length - self._synced >= SYNC_BYTES:
            self._synced = self._length
            os.fdatasync(self._descriptor)

    def close(self) -> None:
        """The digest so far is kept for the next time the file is opened."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def digest(self) -> str:
        """Of all bytes in the file."""
        if self._hashed != self._length:
            raise AssertionError("the digest lags behind the file")
        return f"sha256:{self._hash.hexdigest()}"

    def handed_over(self) -> Path:
        """A second name of the file, for a store to take; the first stays until the artefact is registered."""
        beside = self.path.with_suffix(WHOLE)
        beside.unlink(missing_ok=True)
        beside.hardlink_to(self.path)
        return beside

    def remove(self) -> None:
        """Forgets what was received."""
        self.path.unlink(missing_ok=True)
        self._hash, self._hashed = hashlib.sha256(), 0

    def _hash_again(self) -> None:
        self._hash, self._hashed = hashlib.sha256(), 0
        while piece := os.pread(self._descriptor, READ_BYTES, self._hashed):
            self._hash.update(piece)
            self._hashed += len(piece)


class Staging:
    """The folder of growing files, and the threads that fill them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        # An upload writes, hashes and syncs at the same time, and most of that is waiting for the disk.
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="staging")

    def close(self) -> None:
        """Waits for the work under way."""
        self._threads.shutdown()

    def path(self, upload_id: UploadId) -> Path:
        """Where the file of an upload is."""
        return self.folder / f"{upload_id}{_SUFFIX}"

    def length(self, upload_id: UploadId) -> int | None:
        """Bytes that are kept of an upload, or None when there is none."""
        with told(self.folder):
            try:
                return self.path(upload_id).stat().st_size
            except FileNotFoundError:
                return None

    def begin(self, upload_id: UploadId) -> int:
        """Makes the upload's file if there is none; STORAGE_FULL when the disk has no room for the rest of it."""
        with told(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            kept = self.length(upload_id) or 0
            free = shutil.disk_usage(self.folder).free
            if upload_id.size - kept > free:
                raise full(self.folder, f"{upload_id.size - kept} bytes are needed and {free} are free")
            self.path(upload_id).touch(mode=0o600)
        return kept

    async def run(self, work: Callable[..., Result], *arguments: Any) -> Result:
        """Work that blocks, in a thread. When the caller is cancelled it is still waited for: the file must be at
        rest.
        """
        job = asyncio.get_running_loop().run_in_executor(self._threads, work, *arguments)
        try:
            return await asyncio.shield(job)
        except asyncio.CancelledError:
            await asyncio.wait([job])
            raise

    def abandoned(self, older_than_seconds: float) -> list[UploadId]:
        """Uploads that nobody has added to for so long."""
        with told(self.folder):
            return [parse_id(path.stem) for path in self._old(older_than_seconds) if _ID.fullmatch(path.stem)]

    def remove(self, upload_id: UploadId) -> None:
        """Forgets an upload that nobody writes."""
        path = self.path(upload_id)
        with told(self.folder):
            path.with_suffix(WHOLE).unlink(missing_ok=True)
            path.unlink(missing_ok=True)

    def _old(self, seconds: float) -> Iterator[Path]:
        for path in sorted(self.folder.glob(f"*{_SUFFIX}")):
            with suppress(FileNotFoundError):
                if time.time() - path.stat().st_mtime > seconds:
                    yield path


def full(folder: Path, cause: str) -> DomainError:
    """STORAGE_FULL for the disk that uploads are received on."""
    return DomainError(
        Reason.STORAGE_FULL,
        f"the disk under {folder} is full: {cause}",
        hint="Free space or collect garbage, then go on with the upload: what was received is kept.",
    )


@contextmanager
def told(folder: Path) -> Iterator[None]:
    """Trouble with the disk as the domain error it is."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise full(folder, error.strerror or "") from error
        raise DomainError(
            Reason.STORE_UNAVAILABLE,
            f"the folder {folder} for uploads cannot be used: {error.strerror}",
            hint="Check that it exists and belongs to the user of this service.",
        ) from error
