"""Progress of a training on stderr: a bar on a terminal, else lines."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from typing import TextIO

EVERY_SECONDS = 1.0


class Lines:
    """At most one line a second for each set of metrics, so that rare ones are never crowded out by frequent ones."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._shown: dict[tuple[str, ...], float] = {}
        self._held: dict[tuple[str, ...], str] = {}

    def show(self, step: int, total: int, message: str, metrics: Mapping[str, float]) -> None:
        names, now = tuple(metrics), time.monotonic()
        place = f"step {step}/{total}" if total else f"step {step}"
        self._held[names] = "  ".join(filter(None, (place, message, _told(metrics))))
        if message or now - self._shown.get(names, -EVERY_SECONDS) >= EVERY_SECONDS:
            self._shown[names] = now
            print(self._held.pop(names), file=self._stream, flush=True)

    def close(self) -> None:
        """Tells the last of each that has not been told."""
        for line in self._held.values():
            print(line, file=self._stream, flush=True)


class Bar:
    """A bar with the last value of each metric."""

    def __init__(self) -> None:
        from rich.console import Console  # noqa: PLC0415
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn  # noqa: PLC0415

        columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("{task.fields[told]}"))
        self._progress = Progress(*columns, console=Console(stderr=True))
        self._task = self._progress.add_task("", total=None, told="")
        self._last: dict[str, float] = {}
        self._progress.start()

    def show(self, step: int, total: int, message: str, metrics: Mapping[str, float]) -> None:
        self._last |= metrics
        told = "  ".join(filter(None, (_told(self._last), message)))
        self._progress.update(self._task, completed=step, total=total or None, told=told)

    def close(self) -> None:
        self._progress.stop()


def on_stderr() -> Lines | Bar:
    """What fits to where stderr goes."""
    return Bar() if sys.stderr.isatty() else Lines(sys.stderr)


def _told(metrics: Mapping[str, float]) -> str:
    return "  ".join(f"{name} {value:.6g}" for name, value in metrics.items())
