"""From where packages come: what the user told pip, told to uv too, which reads nothing of pip's.

The build of torch for CPUs alone is on no public default index. It is taken from the folder TORCH_FIND_LINKS or the
index TORCH_INDEX_URL, as when the platform itself was installed. The lock names it with its local version
(2.13.0+cpu), so nothing else is ever taken in its place, and what was taken is held against its digest: asking several
indexes is no risk.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from functools import cache


def for_uv(environ: Mapping[str, str], default_index: str = "") -> dict[str, str]:
    """Variables to add. What was set for uv itself stays as it is; `default_index`: of pip's files."""
    found: dict[str, str] = {}
    index = environ.get("PIP_INDEX_URL") or default_index
    if index and not environ.keys() & {"UV_DEFAULT_INDEX", "UV_INDEX_URL"}:
        found["UV_DEFAULT_INDEX"] = index
    if (links := _words(environ, "TORCH_FIND_LINKS", "PIP_FIND_LINKS")) and "UV_FIND_LINKS" not in environ:
        found["UV_FIND_LINKS"] = ",".join(links)
    if (more := _words(environ, "TORCH_INDEX_URL", "PIP_EXTRA_INDEX_URL")) and "UV_INDEX" not in environ:
        found |= {"UV_INDEX": " ".join(more), "UV_INDEX_STRATEGY": "unsafe-best-match"}
    return found


@cache
def index_of_pip() -> str:
    """Of pip's configuration files; empty when there is no pip, or none is named."""
    command = [sys.executable, "-m", "pip", "config", "get", "global.index-url"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _words(environ: Mapping[str, str], *names: str) -> list[str]:
    return list(dict.fromkeys(word for name in names for word in environ.get(name, "").split()))
