"""Programs run on a file system that is really full: a small tmpfs in a mount namespace of its own, without root."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

MOUNT_AND_RUN = 'size="$1" folder="$2"; shift 2; mount -t tmpfs -o size="$size" tmpfs "$folder" && exec "$@"'


def run_on_small_disk(program: Path, size: str, timeout: float = 60) -> Any:
    """Runs `python program FOLDER`, FOLDER being an empty disk of `size` (say 1m); its last line, read as JSON."""
    with tempfile.TemporaryDirectory(prefix="bmase-small-") as folder:
        inner = ["sh", "-c", MOUNT_AND_RUN, "sh", size, folder]
        done = subprocess.run(
            ["unshare", "--user", "--map-root-user", "--mount", *inner, sys.executable, str(program), folder],
            env={**os.environ, "PYTHONPATH": "."},
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
    assert done.returncode == 0, f"{program.name} ended with {done.returncode}\n{done.stdout}\n{done.stderr}"
    return json.loads(done.stdout.splitlines()[-1])
