"""What a worker says, gathered and sent in the background: training never waits for whoever listens."""

from __future__ import annotations

import io
import queue
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TextIO

from services.trainer.engine.attempt import Checkpointed, Logged, Progressed, Said
from services.trainer.jobs.events import LONGEST_LINE
from services.trainer.jobs.state import legible

EVERY = 1.0  # seconds between two sendings: each costs CPU that a training on the same node could have
MOST = 10_000  # waiting; log lines beyond are dropped and counted, as a job that prints in a loop harms only itself

Send = Callable[[Sequence[Said]], None]


class Teller:
    """`send` is called in a thread of its own with what has gathered, in order."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._waiting: queue.SimpleQueue[Said | None] = queue.SimpleQueue()
        self._dropped = 0
        self._hurry = threading.Event()
        self._thread = threading.Thread(target=self._work, name="teller", daemon=True)
        self._thread.start()

    def tell(self, said: Said) -> None:
        """Microseconds."""
        if isinstance(said, Logged) and self._waiting.qsize() > MOST:
            self._dropped += 1
            return
        self._waiting.put(said)
        if isinstance(said, Checkpointed):  # what nobody knows of is lost with this process
            self._hurry.set()

    def close(self) -> None:
        """Returns when everything was sent."""
        self._waiting.put(None)
        self._hurry.set()
        self._thread.join()

    def _work(self) -> None:
        while True:
            gathered, ended = self._gather()
            if gathered:
                self._send(latest_progress(gathered))
            if ended:
                return
            self._hurry.wait(EVERY)
            self._hurry.clear()

    def _gather(self) -> tuple[list[Said], bool]:
        found: list[Said] = []
        said = self._waiting.get()
        while said is not None:
            found.append(said)
            if self._waiting.empty():
                break
            said = self._waiting.get()
        if self._dropped:
            lost, self._dropped = self._dropped, 0
            found.append(Logged(time=time.time(), text=f"({lost} lines came too fast and were dropped)", stderr=True))
        return found, said is None


def latest_progress(said: Sequence[Said]) -> list[Said]:
    """Of progress only the last word is of interest."""
    last = max((at for at, each in enumerate(said) if isinstance(each, Progressed)), default=-1)
    return [each for at, each in enumerate(said) if not isinstance(each, Progressed) or at == last]


class _Lines(io.TextIOBase):
    """A standard stream that tells its lines."""

    def __init__(self, tell: Callable[[Said], None], worker: int, stderr: bool, beside: TextIO) -> None:
        self._tell, self._worker, self._stderr, self._beside = tell, worker, stderr, beside
        self._begun = ""
        self._lock = threading.Lock()

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        with self._lock:
            *lines, self._begun = (self._begun + text.replace("\r", "\n")).split("\n")
            if len(self._begun) > LONGEST_LINE:  # whoever prints without an end fills no memory
                lines, self._begun = [*lines, self._begun], ""
        for line in lines:
            if line.strip():
                self._tell(
                    Logged(time=time.time(), text=legible(line, LONGEST_LINE), worker=self._worker, stderr=self._stderr)
                )
        return len(text)

    def fileno(self) -> int:
        return self._beside.fileno()


@contextmanager
def told(tell: Callable[[Said], None], worker: int) -> Iterator[None]:
    """Meanwhile what Python code prints is told line by line."""
    out, err = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = _Lines(tell, worker, False, out), _Lines(tell, worker, True, err)
    try:
        yield
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.write("\n")
        sys.stdout, sys.stderr = out, err
