"""The programs' logs: their ends, and what is added to them, over rotations."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

BLOCK = 64 * 1024
POLL_SECONDS = 0.2


def tail(path: Path, lines: int) -> list[str]:
    """The last lines of a file, read from its end; nothing when there is no file."""
    try:
        with path.open("rb") as handle:
            return _last_lines(handle, lines)
    except FileNotFoundError:
        return []


def _last_lines(handle: BinaryIO, lines: int) -> list[str]:
    position = handle.seek(0, 2)
    data = b""
    while position > 0 and data.count(b"\n") <= lines:
        step = min(BLOCK, position)
        position = handle.seek(position - step)
        data = handle.read(step) + data
    kept = data.splitlines()[-lines:] if lines else []
    return [line.decode(errors="replace") for line in kept]


@dataclass
class Follower:
    """New lines of one file; notices that it was rotated (another file under the name, or a shorter one)."""

    path: Path
    _handle: BinaryIO | None = field(default=None, init=False)
    _rest: bytes = field(default=b"", init=False)

    def __post_init__(self) -> None:
        if self._open():
            assert self._handle is not None
            self._handle.seek(0, 2)

    def new_lines(self) -> list[str]:
        """Complete lines that were added since the last call."""
        data = self._read()
        if self._rotated():
            self._close()
            self._open()
            data += self._read()
        *complete, self._rest = (self._rest + data).split(b"\n")
        return [line.decode(errors="replace") for line in complete]

    def _read(self) -> bytes:
        if not self._handle and not self._open():
            return b""
        assert self._handle is not None
        return self._handle.read()

    def _open(self) -> bool:
        try:
            self._handle = self.path.open("rb")
        except FileNotFoundError:
            return False
        return True

    def _close(self) -> None:
        if self._handle:
            self._handle.close()
            self._handle = None

    def _rotated(self) -> bool:
        if not self._handle:
            return False
        try:
            now = self.path.stat()
        except FileNotFoundError:
            return True
        held = os.fstat(self._handle.fileno())
        return (now.st_dev, now.st_ino) != (held.st_dev, held.st_ino) or now.st_size < self._handle.tell()


def follow(paths: Sequence[Path]) -> Iterator[tuple[str, str]]:
    """(program, line) as they come, until the caller stops asking."""
    followers = {path.stem: Follower(path) for path in paths}
    while True:
        for name, follower in followers.items():
            for line in follower.new_lines():
                yield name, line
        time.sleep(POLL_SECONDS)
