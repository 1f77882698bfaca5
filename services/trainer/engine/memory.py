"""A worker's memory against what its job asked for: only the job that takes too much is ended, and told why."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable

EVERY = 0.1
_PAGE = os.sysconf("SC_PAGE_SIZE")


def used() -> int:
    """Bytes that this process has in memory and shares with nobody."""
    with open("/proc/self/statm") as statm:  # noqa: PTH123 - read ten times a second
        fields = statm.read().split()
    return (int(fields[1]) - int(fields[2])) * _PAGE


def guard(limit: int, over: Callable[[int], None]) -> None:
    """Looks from now on; `over` is called once, with the bytes, and is to end the process."""
    threading.Thread(target=_watch, args=(limit, over), name="memory", daemon=True).start()


def _watch(limit: int, over: Callable[[int], None]) -> None:
    while (now := used()) <= limit:
        time.sleep(EVERY)
    over(now)
