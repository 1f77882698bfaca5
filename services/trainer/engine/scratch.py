"""A worker's folder, gone with it: also after it was killed, when the next one comes to the machine."""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LOCK = ".lock"


@contextmanager
def scratch(root: Path | None = None) -> Iterator[Path]:
    """An empty folder below `root`; PermissionError when that is somebody else's.

    A lock beside it lasts as long as this process and its children: what nobody holds is left from one that was killed.
    """
    root = root or Path(tempfile.gettempdir()) / f"bmase-workers-{os.getuid()}"
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    if root.is_symlink() or root.stat().st_uid != os.getuid():
        raise PermissionError(f"{root} belongs to somebody else")
    _sweep(root)
    folder = root / secrets.token_hex(8)
    lock = folder.with_suffix(LOCK)
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        folder.mkdir()
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            lock.unlink(missing_ok=True)


def _sweep(root: Path) -> None:
    for lock in root.glob(f"*{LOCK}"):
        try:
            with lock.open("r+") as held:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(lock.with_suffix(""), ignore_errors=True)
                lock.unlink(missing_ok=True)
        except OSError:  # held by one that lives, or removed by another
            continue
