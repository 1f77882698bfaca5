"""The first process of an attempt that has a lock: `python -m services.trainer.engine.locked FOLDER`.

It builds the environment, or finds the one that was built before, and becomes the driver in it. It stays the same
process, so whoever has started it hears and ends it, and all that it starts, as any driver.
"""

from __future__ import annotations

import os
import select
import sys
import threading
import time
from pathlib import Path

from services.trainer import environments
from services.trainer.engine import locks, marks
from services.trainer.engine.attempt import EVENTS, INSTALLER_HOME, Attempt, Logged, Said, write_line
from services.trainer.engine.calling import failure
from services.trainer.reproduce.again import linked
from services.trainer.reproduce.documents import digest_of
from services.trainer.reproduce.environment import build
from services.trainer.reproduce.packages import Lock

INSIDE = "services.trainer.engine.inside"
_OTHERS = frozenset({INSTALLER_HOME, "PYTHONHOME", "VIRTUAL_ENV"})


def place(lock: Lock, root: Path) -> Path:
    """One folder for each content: unlike a recorded lock, this one knows packages by nothing but their archives."""
    pins = [[package.pin, *package.archives] for package in lock.packages]
    digest = digest_of([lock.python, lock.implementation, lock.platform, pins])
    return root / f"job-{digest.removeprefix('sha256:')[:32]}"


def prepared(lock: Lock, root: Path, tell: environments.Tell) -> Path:
    """The interpreter of the environment, checked; raises what `reproduce.environment.build` does."""
    target = place(lock, root)
    with environments.one_at_a_time(target, tell):
        if not target.exists():
            tell(f"builds the environment of the lock: {len(lock.packages)} packages, by uv")
        began = time.monotonic()
        python = build(lock, target)
        tell(f"the environment of the lock is ready after {time.monotonic() - began:.1f} s")
        return python


def _told(said: Said) -> None:
    os.write(int(os.environ.get(EVENTS) or sys.stdout.fileno()), write_line(said))


def _until_left() -> None:
    """Nothing is read: what comes is for the driver. A closed input means that whoever started this is gone."""
    left = select.poll()
    left.register(sys.stdin.fileno(), 0)
    left.poll()
    marks.kill_own()
    os._exit(3)


def main() -> None:
    folder = Path(sys.argv[1]).absolute()
    threading.Thread(target=_until_left, daemon=True).start()
    given = {name: value for name, value in os.environ.items() if name not in _OTHERS}
    if home := os.environ.get(INSTALLER_HOME):
        os.environ["HOME"] = home
    try:
        attempt = Attempt.read(folder)
        assert attempt.lock is not None
        lock, root = locks.read(attempt.lock.read_bytes()), environments.folder()
        python = prepared(lock, root, lambda text: _told(Logged(time=time.time(), text=text)))
        platform = linked(folder / "platform")
    except Exception as error:
        _told(failure(error))
        sys.exit(1)
    os.chdir(platform)  # Ray lets workers import from where its driver stands
    command = [str(python), "-s", "-P", "-m", INSIDE, str(folder)]
    os.execve(python, command, {**given, "PYTHONPATH": str(platform)})  # noqa: S606 - there is no shell to be had


if __name__ == "__main__":
    main()
