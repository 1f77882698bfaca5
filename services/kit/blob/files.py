"""Blobs as files: written beside, synced, then linked into place, so a blob is whole or absent after any crash.

obstore's local store writes atomically too, but without fsync and always by copying; both matter here.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import itertools
import os
import secrets
import shutil
import stat
import time
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from bmase.reasons import Reason

from services.kit.blob.model import (
    CHUNK_BYTES,
    BlobInfo,
    Source,
    beyond_end,
    checked_key,
    checked_prefix,
    not_found,
)
from services.kit.errors import DomainError

# Begins with a dot, which no key may, so what is being written is never listed.
_INCOMING = ".incoming"
_ORPHAN_SECONDS = 24 * 3600
_LIST_BATCH = 500
Result = TypeVar("Result")

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


class FileStore:
    """A blob store in a folder of a POSIX file system; see `BlobStore`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._incoming = root / _INCOMING

    async def check(self) -> None:
        await asyncio.to_thread(self._translate, self._prepare)

    async def put_if_absent(self, key: str, source: Source, *, consume: bool = False) -> bool:
        target = self._path(key)
        return await asyncio.to_thread(self._translate, self._put, target, source, consume)

    async def stream(self, key: str, offset: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        descriptor = await asyncio.to_thread(self._open, key)
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise not_found(key)
            size = status.st_size
            if offset > size:
                raise beyond_end(key, offset, size)
            end = size if length is None else min(size, offset + length)
            while offset < end:
                piece = await asyncio.to_thread(os.pread, descriptor, min(CHUNK_BYTES, end - offset), offset)
                if not piece:
                    raise _unavailable(self.root, f"{key} was cut short at byte {offset} of {size}")
                offset += len(piece)
                yield piece
        except OSError as error:
            raise _error(self.root, error) from error
        finally:
            os.close(descriptor)

    async def head(self, key: str) -> BlobInfo | None:
        return await asyncio.to_thread(self._translate, self._head, key)

    async def delete(self, key: str) -> None:
        path = self._path(key)
        await asyncio.to_thread(self._translate, self._unlink, path)

    async def list(self, prefix: str = "") -> AsyncIterator[BlobInfo]:
        files = self._walk(self.root / checked_prefix(prefix))
        while batch := await asyncio.to_thread(self._translate, _take, files):
            for info in batch:
                yield info

    def _path(self, key: str) -> Path:
        return self.root / checked_key(key)

    def _prepare(self) -> None:
        self._incoming.mkdir(parents=True, exist_ok=True, mode=0o700)
        probe = self._incoming / f"probe-{secrets.token_hex(4)}"
        probe.write_bytes(b"")
        probe.unlink()
        for path in self._incoming.iterdir():
            with contextlib.suppress(FileNotFoundError):
                if time.time() - path.stat().st_mtime > _ORPHAN_SECONDS:
                    path.unlink()

    def _put(self, target: Path, source: Source, consume: bool) -> bool:
        self._incoming.mkdir(parents=True, exist_ok=True, mode=0o700)
        if target.exists():
            created = False
        elif isinstance(source, Path) and consume and _same_device(source, self._incoming):
            _sync(source)
            created = _link(source, target)
        else:
            created = self._copy(target, source)
        if consume and isinstance(source, Path):
            source.unlink(missing_ok=True)
        return created

    def _copy(self, target: Path, source: Source) -> bool:
        beside = self._incoming / secrets.token_hex(16)
        try:
            if isinstance(source, Path):
                shutil.copyfile(source, beside)
            else:
                beside.write_bytes(source)
            _sync(beside)
            return _link(beside, target)
        finally:
            beside.unlink(missing_ok=True)

    def _open(self, key: str) -> int:
        try:
            return os.open(self._path(key), os.O_RDONLY | os.O_CLOEXEC)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise not_found(key) from error
        except OSError as error:
            raise _error(self.root, error) from error

    def _head(self, key: str) -> BlobInfo | None:
        path = self._path(key)
        try:
            return _info(key, path.stat()) if path.is_file() else None
        except FileNotFoundError:
            return None

    def _unlink(self, path: Path) -> None:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            path.unlink()
            _sync(path.parent)

    def _walk(self, start: Path) -> Iterator[BlobInfo]:
        for folder, folders, names in os.walk(start):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            for name in sorted(names):
                path = Path(folder, name)
                with contextlib.suppress(FileNotFoundError):
                    yield _info(str(path.relative_to(self.root)), path.stat())

    def _translate(self, function: Callable[..., Result], *arguments: Any) -> Result:
        try:
            return function(*arguments)
        except OSError as error:
            raise _error(self.root, error) from error


def _take(files: Iterator[BlobInfo]) -> list[BlobInfo]:
    return list(itertools.islice(files, _LIST_BATCH))


def _info(key: str, status: os.stat_result) -> BlobInfo:
    return BlobInfo(key, status.st_size, datetime.fromtimestamp(status.st_mtime, UTC))


def _same_device(source: Path, folder: Path) -> bool:
    return source.stat().st_dev == folder.stat().st_dev


def _link(source: Path, target: Path) -> bool:
    """Gives the file its name unless the name is taken; durable when it returns."""
    _make_folders(target.parent)
    try:
        os.link(source, target)
    except FileExistsError:
        return False
    _sync(target.parent)
    return True


def _make_folders(folder: Path) -> None:
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for path in missing:
        _sync(path.parent)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _error(root: Path, error: OSError) -> DomainError:
    if error.errno in _FULL:
        return DomainError(
            Reason.STORAGE_FULL,
            f"the disk under the blob store is full ({error.strerror})",
            hint=f"Free space on the file system of {root} or delete versions, then try again.",
        )
    return _unavailable(root, error.strerror or str(error))


def _unavailable(root: Path, cause: str) -> DomainError:
    return DomainError(
        Reason.STORE_UNAVAILABLE,
        f"the blob store in {root} cannot be used: {cause}",
        hint="Check that the folder exists and belongs to the user of this service.",
    )
