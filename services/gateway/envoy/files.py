"""Writes the files that Envoy watches: whole, then renamed onto the old one, and only when they say something new."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any


def write(path: Path, data: bytes) -> bool:
    """False when the file already holds exactly this; Envoy would read it again for nothing."""
    if path.exists() and path.read_bytes() == data:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_bytes(data)  # not synced: after a power loss they are made again from what is durable
    temporary.replace(path)
    return True


def as_json(document: Any) -> bytes:
    """For people to read: indented, in the order it was built."""
    return json.dumps(document, indent=1).encode()


def resources(version: str, listed: list[Any]) -> bytes:
    """A discovery answer of JSON resources."""
    return as_json({"version_info": version, "resources": listed})
