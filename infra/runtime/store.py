"""The cache: builds a folder once, whoever asks and however often it is killed, and links it into a checkout."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from infra.runtime.errors import RuntimeSetupError
from infra.runtime.layout import Layout


def build_once(layout: Layout, name: str, key: str, build: Callable[[Path], None]) -> Path:
    """The complete folder for `key`, made by `build(folder)` when it is not in the cache yet.

    One process at a time builds an item; the others wait and then find it. The folder appears by a rename of a finished
    one, so a kill at any moment leaves either nothing or a leftover under `partial/`, which the next builder removes.
    """
    target = layout.item(key)
    if target.is_dir():
        return target
    with _locked(layout, name):
        if not target.is_dir():
            _build(layout, name, target, build)
    return target


def _build(layout: Layout, name: str, target: Path, build: Callable[[Path], None]) -> None:
    _remove_leftovers(layout, name)
    layout.items.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f"{name}+", dir=layout.partial))
    try:
        build(partial)
        partial.chmod(0o755)
        partial.rename(target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _remove_leftovers(layout: Layout, name: str) -> None:
    """Safe only under the item's lock: whoever made these was killed."""
    layout.partial.mkdir(parents=True, exist_ok=True)
    for leftover in layout.partial.glob(f"{name}+*"):
        shutil.rmtree(leftover, ignore_errors=True)


@contextlib.contextmanager
def _locked(layout: Layout, name: str) -> Iterator[None]:
    """An advisory lock that the kernel drops when its holder dies."""
    try:
        layout.locks.mkdir(parents=True, exist_ok=True)
        handle = (layout.locks / f"{name}.lock").open("w")
    except OSError as error:
        raise RuntimeSetupError(
            f"the cache {layout.cache} cannot be written ({error.strerror}). Set BMASE_CACHE to a folder you own."
        ) from error
    with handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def check_digest(archive: Path, sha256: str) -> None:
    """Raises unless the file's bytes are the pinned ones."""
    with archive.open("rb") as handle:
        found = hashlib.file_digest(handle, "sha256").hexdigest()
    if found != sha256:
        raise RuntimeSetupError(
            f"{archive.name}: sha256 is {found}, pinned is {sha256}. The download was altered or the index serves"
            " another build; nothing was installed. Try again, and if it stays so check which index pip or apt uses."
        )


def point(link: Path, target: Path) -> None:
    """Makes `link` a symbolic link to `target`, replacing what was there in one step."""
    if link.is_symlink() and link.readlink() == target:
        return
    link.parent.mkdir(parents=True, exist_ok=True)
    fresh = link.with_name(f".{link.name}.{os.getpid()}")
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(target)
    fresh.replace(link)


def make_executable(path: Path) -> None:
    """Adds the executable bits that archives made by build tools often lack."""
    path.chmod(path.stat().st_mode | 0o755)
