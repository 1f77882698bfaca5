"""Environments that jobs need beside the trainer's own, on this machine: found again, built by one at a time, and
removed when nobody has used them for a while.

Beside each lie two files that are locked, and stay: `.lock` by who builds or removes it, `.used` by who runs in it. The
system lets go of both when their processes end, however that happens.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from services.kit.errors import InvalidArgument, Violation

FOLDER, DAYS = "BMASE_TRAINER_ENVIRONMENTS", "BMASE_TRAINER_ENVIRONMENT_DAYS"
KEPT_DAYS = 30.0
_LOCK, _USED, _LEAVING = ".lock", ".used", ".leaving"

Tell = Callable[[str], None]
_used: dict[Path, IO[str]] = {}  # open until this process ends


def folder() -> Path:
    """Where they are kept: of the trainer, or of the user."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(os.environ.get(FOLDER) or cache / "bmase" / "environments")


@contextlib.contextmanager
def one_at_a_time(target: Path, tell: Tell) -> Iterator[None]:
    """Who wants the same environment waits for the first. From here on until this process, or what it becomes, has
    ended, the environment is in use. Before another one is made, those that nobody uses any more make room.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    if not target.exists():
        remove_unused(target.parent, tell)
    with _beside(target, _LOCK).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            tell("another job builds the same environment; waits for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        _use(target)
        yield


def remove_unused(root: Path, tell: Tell, now: float | None = None) -> None:
    """Those that were used last more than `BMASE_TRAINER_ENVIRONMENT_DAYS` ago (30; 0: none go) and are in no use now.

    Nothing else that lies there is touched, and what cannot be removed now stays for the next time.
    """
    days = _days()
    if not days:
        return
    before = (time.time() if now is None else now) - days * 86_400
    for lock in sorted(root.glob(f"*{_LOCK}")):
        with contextlib.suppress(OSError):  # in use, or going already
            _remove(lock.with_suffix(""), before, tell)


def _days() -> float:
    given = os.environ.get(DAYS) or str(KEPT_DAYS)
    try:
        days = float(given)
    except ValueError:
        days = -1.0
    if not 0 <= days < float("inf"):
        raise InvalidArgument([Violation(DAYS, f"{given!r} is no number of days")])
    return days


def _use(target: Path) -> None:
    file = _used.get(target)
    if file is None:
        file = _used[target] = _beside(target, _USED).open("a")
        os.set_inheritable(file.fileno(), True)  # `exec` into the environment's own Python goes on using it
        fcntl.flock(file, fcntl.LOCK_SH)
    os.utime(file.fileno())


def _remove(target: Path, before: float, tell: Tell) -> None:
    """Renamed first: what is half gone is never found. BlockingIOError while somebody builds or uses it."""
    with _beside(target, _LOCK).open("a") as lock, _beside(target, _USED).open("a") as used:
        for file in (lock, used):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        leaving = _beside(target, _LEAVING)
        if target.exists() and os.fstat(used.fileno()).st_mtime < before:
            tell(f"removes the environment {target.name}, which nobody has used for a while")
            shutil.rmtree(leaving, ignore_errors=True)
            target.rename(leaving)
        shutil.rmtree(leaving, ignore_errors=True)


def _beside(target: Path, suffix: str) -> Path:
    return target.with_name(target.name + suffix)
