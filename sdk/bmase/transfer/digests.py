"""Digests of files, computed while reading, in constant memory."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

PREFIX = "sha256:"
BLOCK = 1 << 20


def of_file(path: Path, read: Callable[[int], None] = lambda _n: None) -> tuple[str, int]:
    """The digest and size of a file; `read` is told how many bytes each step took and may raise to stop."""
    running = hashlib.sha256()
    with path.open("rb", buffering=0) as file:
        size = feed(running, file, read)
    return PREFIX + running.hexdigest(), size


def feed(running: hashlib._Hash, file: BinaryIO, read: Callable[[int], None] = lambda _n: None) -> int:
    """Adds the rest of a file to a running digest; the number of bytes that there were."""
    block = memoryview(bytearray(BLOCK))
    total = 0
    while count := file.readinto(block):  # type: ignore[attr-defined]
        running.update(block[:count])
        total += count
        read(count)
    return total


def text(running: hashlib._Hash) -> str:
    """The digest as the registry writes it."""
    return PREFIX + running.hexdigest()
