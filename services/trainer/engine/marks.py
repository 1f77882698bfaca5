"""Processes are found by a mark in their environment: Ray starts many, in sessions and groups of their own."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path

MARK = "BMASE_TRAINER_MARK"
ATTEMPT = "BMASE_TRAINER_ATTEMPT"  # a second one, of workers on Ray: theirs by inheritance is Ray's
PROC = Path("/proc")


def find(mark: str, proc: Path = PROC) -> list[int]:
    """Pids of living processes with the mark, but for the one that asks."""
    wanted = {f"{name}={mark}".encode() for name in (MARK, ATTEMPT)}
    pids = [int(entry.name) for entry in proc.iterdir() if entry.name.isdecimal()]
    return [pid for pid in pids if pid != os.getpid() and wanted.intersection(_environment(proc, pid))]


def kill(mark: str) -> int:
    """Ends all of them at once; how many there were."""
    found = find(mark)
    for pid in found:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)
    return len(found)


def kill_own() -> None:
    """All that have this process's mark."""
    if mark := os.environ.get(MARK):
        kill(mark)


def _environment(proc: Path, pid: int) -> list[bytes]:
    try:
        return (proc / str(pid) / "environ").read_bytes().split(b"\0")
    except OSError:
        return []
