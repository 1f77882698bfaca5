"""Artefacts on the node's disk, by digest: `objects/ab/abcd...` whole and verified, `partial/abcd...` on their way.

An object only ever arrives by a rename after its digest was verified, and is read-only from then on. It is hard-linked
into the model repository, so a version costs its bytes once. What no wanted version uses is removed, longest unused
first, when the budget or the disk needs the room.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from bmase.reasons import Reason

from services.kit.errors import DomainError
from services.kit.files import sync_folder

BLOCK = 1 << 20
# Left free on the disk for the small files that the node needs to go on.
RESERVE = 4 << 20
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


@dataclass(frozen=True, slots=True)
class Held:
    """One object: its size, and when it was last linked into the repository."""

    digest: str
    size: int
    used: float


def is_full(error: OSError) -> bool:
    return error.errno in _FULL


class Store:
    """The content-addressed store of one node. Methods that read whole files block: call them in a thread."""

    def __init__(self, root: Path, budget: int) -> None:
        self._objects = root / "objects"
        self._partial = root / "partial"
        self._budget = budget
        for folder in (self._objects, self._partial):
            folder.mkdir(parents=True, exist_ok=True)

    def path(self, digest: str) -> Path:
        name = _hex(digest)
        return self._objects / name[:2] / name

    def partial(self, digest: str) -> Path:
        return self._partial / _hex(digest)

    def has(self, digest: str, size: int) -> bool:
        """Whether the object is there with its size; its content is verified before it is used."""
        try:
            return self.path(digest).stat().st_size == size
        except OSError:
            return False

    def verify(self, digest: str) -> bool:
        """Reads the object through; one that does not have its digest is removed."""
        try:
            if hash_file(self.path(digest)).hexdigest() == _hex(digest):
                return True
        except FileNotFoundError:
            return False
        self.path(digest).unlink(missing_ok=True)
        return False

    def commit(self, digest: str) -> None:
        """Makes a partial file, whose digest the caller has verified, an object."""
        partial, target = self.partial(digest), self.path(digest)
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        partial.chmod(0o444)
        target.parent.mkdir(exist_ok=True)
        partial.replace(target)
        sync_folder(target.parent)

    def link(self, digest: str, target: Path) -> None:
        """Puts the object at `target`, which must not exist; copies where the file system cannot link."""
        source = self.path(digest)
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            target.hardlink_to(source)
        except OSError as error:
            if error.errno not in (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP):
                raise
            shutil.copyfile(source, target)
        self._touch(source)

    def make_room(self, needed: int, keep: Collection[str]) -> None:
        """Removes unused objects until `needed` more bytes fit; raises STORAGE_FULL when they cannot."""
        unused = sorted((held for held in self._held() if held.digest not in keep), key=lambda held: held.used)
        self._drop_partials(keep)
        used = sum(held.size for held in self._held())
        for held in unused:
            if used + needed <= self._budget and self._free() >= needed + RESERVE:
                return
            self.path(held.digest).unlink(missing_ok=True)
            used -= held.size
        if used + needed > self._budget:
            raise full(
                f"{needed:,} bytes more do not fit the node's disk budget of {self._budget:,} ({used:,} are in use)"
            )
        if self._free() < needed + RESERVE:
            raise full(f"the node's disk has no room for {needed:,} bytes more ({self._free():,} are free)")

    def _held(self) -> list[Held]:
        return list(self._walk())

    def _walk(self) -> Iterator[Held]:
        for path in self._objects.glob("??/*"):
            stat = path.stat()
            yield Held(f"sha256:{path.name}", stat.st_size, stat.st_atime)

    def _drop_partials(self, keep: Collection[str]) -> None:
        for path in self._partial.iterdir():
            if f"sha256:{path.name}" not in keep:
                path.unlink(missing_ok=True)

    def _free(self) -> int:
        return shutil.disk_usage(self._objects).free

    @staticmethod
    def _touch(path: Path) -> None:
        # Only the time of access: Triton takes a changed time of modification for a changed model.
        os.utime(path, ns=(time.time_ns(), path.stat().st_mtime_ns))


def full(message: str) -> DomainError:
    return DomainError(
        Reason.STORAGE_FULL, f"{message}; undeploy something from this node, or give it more room", hint=""
    )


def hash_file(path: Path) -> hashlib._Hash:
    """The sha256 of a file's content so far."""
    hasher = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            hasher.update(block)
    return hasher


def _hex(digest: str) -> str:
    algorithm, _, value = digest.partition(":")
    if algorithm != "sha256" or len(value) != 64 or not set(value) <= set("0123456789abcdef"):
        raise DomainError(Reason.DIGEST_MISMATCH, f"{digest[:80]!r} is not a sha256 digest")
    return value
