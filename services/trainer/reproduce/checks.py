"""Which installed packages were read and found to be as their list of files says, so that they are not read again.

Reading all files of a large environment takes seconds for each gigabyte. A package whose files have the same list,
sizes, and times of their last change is taken to be as it was found: whoever can set a file's time of change (ctime)
back rules the machine.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from services.kit.files import write_atomically
from services.trainer.reproduce.documents import digest_of

_FORMAT = 1


class Checks:
    """What was found, by the place of a package; kept in a file, or only in memory without one."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._known: dict[str, Any] = {} if path is None else _read(path)
        self._changed = False

    def known(self, place: str, stamp: str) -> tuple[str, ...] | None:
        """Files that were not as listed; None for a package that is not known, or not in this state."""
        found = self._known.get(place)
        return tuple(found["altered"]) if isinstance(found, dict) and found.get("stamp") == stamp else None

    def learn(self, place: str, stamp: str, altered: Sequence[str]) -> None:
        self._known[place] = {"stamp": stamp, "altered": list(altered)}
        self._changed = True

    def save(self) -> None:
        """What cannot be kept, or is lost when two processes save at once, is read once more."""
        if self._path is not None and self._changed:
            with contextlib.suppress(OSError):
                write_atomically(self._path, json.dumps({"format": _FORMAT, "packages": self._known}).encode())
            self._changed = False


def stamp(files: Mapping[str, str], place: Path) -> str:
    """Of files (relative path -> listed digest) below `place`, without reading them."""
    return digest_of([[path, listed, *_state(place / path)] for path, listed in files.items()])


def _state(path: Path) -> tuple[int, ...]:
    try:
        found = path.stat()
    except OSError:
        return ()
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _read(path: Path) -> dict[str, Any]:
    """A file that is absent, or that cannot be understood, knows nothing."""
    try:
        document = json.loads(path.read_bytes())
        known = document["packages"] if document["format"] == _FORMAT else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return dict(known) if isinstance(known, dict) else {}
