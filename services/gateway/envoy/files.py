"""Writes the files that Envoy watches: whole, then renamed onto the old one, and only when they say something new."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any


def write(path: Path, data: bytes) -> bool:
    """False when the file already holds exactly this; Envoy would read it again for nothing."""
    if path.exists() and path.read_bytes() == data:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    _put(temporary, data)
    temporary.replace(path)
    return True


def switch(path: Path, data: bytes) -> bool:
    """Like `write`, for a file that changes often: a link to the present one of several.

    Renaming a file onto another makes ext4 flush it first, which takes as long as the disk is busy; renaming a link
    onto a link does not. What Envoy sees is the same.
    """
    if path.exists() and path.read_bytes() == data:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f"{path.name}.{time.time_ns()}")
    _put(new, data)
    link = path.with_name(f".{path.name}.{os.getpid()}")
    link.unlink(missing_ok=True)
    link.symlink_to(new.name)
    link.replace(path)
    for old in path.parent.glob(f"{path.name}.[0-9]*"):
        if old != new:
            old.unlink(missing_ok=True)
    return True


def _put(path: Path, data: bytes) -> None:
    """Not synced: after a power loss they are made again from what is durable. On a full disk nothing is left over."""
    try:
        path.write_bytes(data)
    except OSError:
        path.unlink(missing_ok=True)
        raise


def as_json(document: Any) -> bytes:
    """For people to read: indented, in the order it was built."""
    return json.dumps(document, indent=1).encode()


def resources(version: str, listed: list[Any]) -> bytes:
    """A discovery answer of JSON resources."""
    return as_json({"version_info": version, "resources": listed})
