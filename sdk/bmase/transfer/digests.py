"""Digests of files, computed while reading or writing, in constant memory."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType

PREFIX = "sha256:"
BLOCK = 1 << 20
AHEAD = 8  # blocks that may wait to be hashed


def of_file(path: Path, read: Callable[[int], None] = lambda _n: None) -> tuple[str, int]:
    """The digest and size of a file; `read` is told how many bytes each step took and may raise to stop."""
    running, size = hashlib.sha256(), 0
    block = memoryview(bytearray(BLOCK))
    with path.open("rb", buffering=0) as file:
        while count := file.readinto(block):
            running.update(block[:count])
            size += count
            read(count)
    return PREFIX + running.hexdigest(), size


class Running:
    """A digest that grows in a thread of its own, beside whoever receives and writes the data."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="bmase-transfer-digest")
        self._waiting: deque[Future[None]] = deque()

    def update(self, data: bytes | memoryview) -> None:
        """Takes the next data, which must not change any more; waits when too much is waiting."""
        self._waiting.append(self._thread.submit(self._hash.update, data))
        if len(self._waiting) > AHEAD:
            self._waiting.popleft().result()

    def text(self) -> str:
        """The digest of everything so far, as the registry writes it."""
        while self._waiting:
            self._waiting.popleft().result()
        return PREFIX + self._hash.hexdigest()

    def __enter__(self) -> Running:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._thread.shutdown(cancel_futures=True)
