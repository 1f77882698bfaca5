"""The same code without BMASE: files on this machine, one worker, checkpoints in a folder."""

from __future__ import annotations

from collections.abc import Callable

from bmase.training.run import Run


def local(main: Callable[[Run], None]) -> None:
    """Runs `main` with what the command line says: --data, --set name=value, --seed, --out."""
    raise NotImplementedError
