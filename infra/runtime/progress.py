"""One line an item while binaries are fetched: repainted on a terminal, printed once when done elsewhere."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Sequence
from typing import TextIO


class Progress:
    """Thread-safe: each fetching thread reports the stage its item is in."""

    def __init__(self, names: Sequence[str], stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._live = self._stream.isatty()
        self._lock = threading.Lock()
        self._begun = time.monotonic()
        self._stages = dict.fromkeys(names, "waiting")
        self._width = max((len(n) for n in names), default=0)
        self._painted = False

    def stage(self, name: str, stage: str, *, final: bool = False) -> None:
        """Says what an item is doing now; `final` ends its line."""
        with self._lock:
            self._stages[name] = stage + (f" ({time.monotonic() - self._begun:.1f} s)" if final else "")
            if self._live:
                self._paint()
            elif final:
                print(self._line(name), file=self._stream, flush=True)

    def _line(self, name: str) -> str:
        return f"  {name:<{self._width}}  {self._stages[name]}"

    def _paint(self) -> None:
        up = f"\x1b[{len(self._stages)}A" if self._painted else ""
        self._painted = True
        lines = "".join(f"\x1b[2K{self._line(name)}\n" for name in self._stages)
        self._stream.write(up + lines)
        self._stream.flush()
