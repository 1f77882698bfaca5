"""What was reported, in files, so that a repeated report is known after a restart and a late one still waits.

Two files of JSON lines: when one is full or old it becomes the earlier one, and the one before is gone.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import structlog

from services.monitor.outcomes.model import Given

log = structlog.get_logger(__name__)

MAX_LINES = 100_000
MAX_AGE_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class Line:
    """One report: when it came, and what is known by it; `version` 0: it waits for its request."""

    at: float
    model: str
    given: Given
    version: int = 0
    wrong: bool | None = None


class Journal:
    """Append only. A disk that is full costs memory of repeats over a restart, and nothing else."""

    def __init__(self, folder: Path, clock: Callable[[], float] = time.time) -> None:
        self._path = folder / "outcomes.jsonl"
        self._earlier = folder / "outcomes.1.jsonl"
        self._clock = clock
        self._lines = 0
        self._since = clock()
        self._writing = threading.Lock()

    def load(self) -> Iterator[Line]:
        """What both files hold, oldest first; a line cut off by a crash is left out."""
        for path in (self._earlier, self._path):
            if path.exists():
                with path.open(encoding="utf-8", errors="replace") as lines:
                    found = [line for text in lines if (line := _decode(text)) is not None]
                self._lines = len(found)
                self._since = found[0].at if found else self._clock()
                yield from found

    def append(self, lines: Sequence[Line]) -> None:
        """Adds lines, in any thread; a failure is logged and borne."""
        with self._writing:
            self._append(lines)

    def _append(self, lines: Sequence[Line]) -> None:
        try:
            self._turn()
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with self._path.open("a", encoding="utf-8") as out:
                out.writelines(json.dumps(asdict(line), separators=(",", ":")) + "\n" for line in lines)
            self._lines += len(lines)
        except OSError as error:
            log.warning("outcomes.not_journalled", lines=len(lines), error=error.strerror)

    def _turn(self) -> None:
        old = self._clock() - self._since > MAX_AGE_SECONDS
        if self._lines >= MAX_LINES or (old and self._lines):
            self._path.replace(self._earlier)
            self._lines, self._since = 0, self._clock()


def _decode(text: str) -> Line | None:
    try:
        found = json.loads(text)
        return Line(**{**found, "given": Given(**found["given"])})
    except (ValueError, TypeError, KeyError):
        return None
