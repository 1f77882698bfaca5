"""What outlives the process, in one file that is always whole: written beside it, forced to the disk, renamed."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import structlog

from services.kit.files import write_atomically

log = structlog.get_logger(__name__)

FORMAT = 1


class Snapshot:
    """One JSON file. A file that cannot be read is put aside, never overwritten: it may be wanted for a look."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._last = b""
        self._turn = threading.Lock()  # a caller that was cancelled leaves its thread behind

    @property
    def exists(self) -> bool:
        """Whether there is a file."""
        return self._path.exists()

    def load(self) -> tuple[float, Mapping[str, Any]]:
        """When it was written and what it holds; (0, nothing) when there is none."""
        try:
            document = json.loads(self._path.read_bytes())
            if document["format"] != FORMAT:
                raise ValueError(f"format {document['format']} is not {FORMAT}")
            return float(document["time"]), dict(document["state"])
        except FileNotFoundError:
            return 0.0, {}
        except (OSError, ValueError, KeyError, TypeError) as error:
            self.put_aside(str(error))
            return 0.0, {}

    def put_aside(self, why: str) -> None:
        """Keeps a file that nobody can read under another name."""
        aside = self._path.with_suffix(f".unreadable-{time.time_ns()}")
        log.error("monitor.snapshot_unreadable", path=str(self._path), kept_as=aside.name, reason=why[:200])
        self._path.rename(aside)

    def save(self, state: Mapping[str, Any]) -> bool:
        """Writes the state unless it is the one that was written last. Blocks on the disk; raises OSError."""
        data = json.dumps(state, separators=(",", ":")).encode()
        with self._turn:
            return data != self._last and self._write(data)

    def _write(self, data: bytes) -> bool:
        whole = b'{"format":%d,"time":%.3f,"state":%s}' % (FORMAT, time.time(), data)
        write_atomically(self._path, whole)
        self._last = data
        return True
