"""How far a long operation has come, for whoever shows it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum


class Phase(StrEnum):
    """What is being done to a file."""

    HASH = "hash"
    UPLOAD = "upload"
    DOWNLOAD = "download"
    DONE = "done"
    PRESENT = "present"  # it was there already: nothing was transferred


@dataclass(frozen=True, slots=True)
class Progress:
    """`done` of `total` bytes of one file, in one phase."""

    path: str
    phase: Phase
    done: int
    total: int


Listener = Callable[[Progress], None]


def silent(_progress: Progress) -> None:
    """The listener for when nobody looks."""


class Meter:
    """Counts the bytes of one file. Listeners are called from worker threads, one at a time."""

    def __init__(self, path: str, total: int, listener: Listener, lock: threading.Lock) -> None:
        self._path, self._total, self._listener, self._lock = path, total, listener, lock
        self._phase, self._done = Phase.HASH, 0

    def begin(self, phase: Phase, done: int = 0) -> None:
        """A new phase, of which `done` bytes are behind us already."""
        self._phase, self._done = phase, done
        self._tell()

    def add(self, count: int) -> None:
        """More bytes of the present phase."""
        self._done += count
        self._tell()

    def finish(self, phase: Phase) -> None:
        """The file is done with."""
        self._phase, self._done = phase, self._total
        self._tell()

    def _tell(self) -> None:
        with self._lock:
            self._listener(Progress(self._path, self._phase, self._done, self._total))
