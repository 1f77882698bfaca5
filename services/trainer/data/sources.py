"""Files of a manifest as open, seekable files whose content was verified before the first byte of it is used.

    Places(cache)     from where the manifest says that they lie; changed content is refused, with both digests
    Source            the plug point: a snapshot in a blob store is the other one

Files that lie afar are laid down on the local disk, one at a time, so any size is read in constant memory. With a
`cache` they stay there under their digests and are fetched once, however many epochs read them.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import BinaryIO, Protocol

from services.trainer.data import errors, places
from services.trainer.data.manifest import File

CHUNK_BYTES = 1024 * 1024

# Writes the whole content into the file that it is given.
Fetch = Callable[[BinaryIO], None]
Stamp = tuple[int, int, int, int]


class Source(Protocol):
    """Where files are read from."""

    def open(self, file: File) -> AbstractContextManager[BinaryIO]:
        """The verified content; DATA_NOT_FOUND, DIGEST_MISMATCH, STORE_UNAVAILABLE, STORAGE_FULL."""


class Places:
    """Reads files where their URIs say; not to be shared between threads."""

    def __init__(self, cache: Path | None = None) -> None:
        self._spool = Spool(cache)
        self._verified: dict[str, Stamp] = {}

    @contextmanager
    def open(self, file: File) -> Iterator[BinaryIO]:
        if places.is_local(file.uri):
            with places.opened(file.uri) as content:
                self._verify(file, content)
                yield content
        else:
            with self._spool.hold(file, lambda target: fetch(file.uri, target)) as content:
                yield content

    def _verify(self, file: File, content: BinaryIO) -> None:
        """A local file is digested again only when its size or times say that it may be another one."""
        stamp = _stamp(content)
        if self._verified.get(file.uri) != stamp:
            expect(file, digest_of(file.uri, content))
            self._verified[file.uri] = stamp


class Spool:
    """A local copy of what lies afar: kept under its digest in `cache`, or gone when it was read."""

    def __init__(self, cache: Path | None) -> None:
        self._cache = cache
        self._verified: set[str] = set()

    @contextmanager
    def hold(self, file: File, fetch: Fetch) -> Iterator[BinaryIO]:
        if self._cache is None:
            with tempfile.TemporaryFile() as content:
                self._fill(file, content, fetch)
                yield content
        else:
            with self._kept(file, self._cache, fetch).open("rb") as content:
                yield content

    def _kept(self, file: File, cache: Path, fetch: Fetch) -> Path:
        path = cache / file.sha256
        if not self._whole(file, path):
            cache.mkdir(parents=True, exist_ok=True, mode=0o700)
            with _beside(cache) as (content, beside):
                self._fill(file, content, fetch)
                content.flush()
                beside.replace(path)
        self._verified.add(file.sha256)
        return path

    def _whole(self, file: File, path: Path) -> bool:
        """Whether the cache has the content; what a crash or a stranger left under its name is fetched again."""
        if not path.is_file():
            return False
        if file.sha256 in self._verified:
            return True
        with path.open("rb") as content:
            return digest_of(str(path), content) == file.sha256

    def _fill(self, file: File, content: BinaryIO, fetch: Fetch) -> None:
        fetch(content)
        content.seek(0)
        expect(file, digest_of(file.uri, content))


def fetch(uri: str, target: BinaryIO) -> None:
    """Copies the file into `target` in constant memory."""
    with places.opened(uri) as source:
        try:
            while piece := source.read(CHUNK_BYTES):
                target.write(piece)
            target.flush()
        except Exception as error:
            raise places.translated(uri, error) from error


def digest_of(uri: str, content: BinaryIO) -> str:
    """SHA-256 of the whole file in hexadecimal; leaves it at its beginning."""
    try:
        content.seek(0)
        found = hashlib.file_digest(content, "sha256").hexdigest()  # type: ignore[arg-type] # BinaryIO lacks readinto
        content.seek(0)
    except OSError as error:
        raise places.translated(uri, error) from error
    return found


def expect(file: File, found: str) -> None:
    if found != file.sha256:
        raise errors.changed(file.uri, file.sha256, found)


@contextmanager
def _beside(folder: Path) -> Iterator[tuple[BinaryIO, Path]]:
    """A new file in the folder that is gone at the end unless it was given its name."""
    descriptor, name = tempfile.mkstemp(dir=folder, prefix=".incoming-")
    try:
        with os.fdopen(descriptor, "w+b") as content:
            yield content, Path(name)
    finally:
        Path(name).unlink(missing_ok=True)


def _stamp(content: BinaryIO) -> Stamp:
    status = os.fstat(content.fileno())
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
