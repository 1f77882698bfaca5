"""Writing so that a crash at any moment leaves the old content or the new, never a mixture."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bmase.reasons import Reason

from services.kit.errors import DomainError


def write_atomically(path: Path, content: bytes) -> None:
    """Replaces the file as a whole, durably; raises OSError and leaves the old one when that fails."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.new")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


@contextmanager
def only_one(folder: Path, what: str) -> Iterator[None]:
    """Holds the folder for this process, which is a `what`; STORE_UNAVAILABLE when another one has it.

    The system lets go of it when the process ends, however that happens.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (folder / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DomainError(
                Reason.STORE_UNAVAILABLE,
                f"another {what} uses {folder}",
                hint="Stop it, or give this one a data_dir of its own.",
            ) from None
        yield


def sync_folder(folder: Path) -> None:
    """Makes renames inside the folder durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
