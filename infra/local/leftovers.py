"""Processes of a suite that outlived their supervisor: found by the mark in their environment, never by name."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path

from infra.local.place import MARKER

PROC = Path("/proc")
ZOMBIE = "Z"


def find(suite_id: str, proc: Path = PROC) -> list[int]:
    """Pids of living processes that carry this suite's mark, but for the one that asks."""
    mark = f"{MARKER}={suite_id}".encode()
    pids = [int(entry.name) for entry in proc.iterdir() if entry.name.isdecimal()]
    return [pid for pid in pids if pid != os.getpid() and mark in _environment(proc, pid) and _alive(proc, pid)]


def _environment(proc: Path, pid: int) -> list[bytes]:
    try:
        return (proc / str(pid) / "environ").read_bytes().split(b"\0")
    except OSError:  # gone, or somebody else's
        return []


def _alive(proc: Path, pid: int) -> bool:
    try:
        return (proc / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] != ZOMBIE
    except OSError:
        return False


def end(suite_id: str, patience: float) -> int:
    """SIGTERM, then SIGKILL for what is still there after `patience` seconds; how many there were."""
    found = find(suite_id)
    _signal_all(found, signal.SIGTERM)
    deadline = time.monotonic() + patience
    while left := find(suite_id):
        if time.monotonic() >= deadline:
            _signal_all(left, signal.SIGKILL)
        time.sleep(0.05)
    return len(found)


def _signal_all(pids: list[int], number: signal.Signals) -> None:
    for pid in pids:
        send(pid, number)


def send(pid: int, number: signal.Signals) -> None:
    """One signal that reaches a stopped process too; nothing when it is gone."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
        os.kill(pid, signal.SIGCONT)
