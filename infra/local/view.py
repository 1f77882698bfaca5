"""What the user sees while the suite starts: a table that lives on a terminal, one line an event elsewhere."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.live import Live
from rich.table import Table

STYLES = {"ready": "green", "running": "cyan", "starting": "cyan", "backoff": "yellow", "fatal": "red", "exited": "red"}


@dataclass(frozen=True)
class Row:
    """One program while it is waited for."""

    name: str
    state: str
    seconds: float
    detail: str


class View:
    """Everything goes to the given console (stderr): stdout is for results."""

    def __init__(self, console: Console, *, quiet: bool = False) -> None:
        self._console = console
        self._quiet = quiet
        self._live: Live | None = None
        self._said: set[str] = set()

    def note(self, text: str) -> None:
        """One line that stays."""
        if not self._quiet:
            self._console.print(text, style="dim", highlight=False)

    @contextlib.contextmanager
    def live(self) -> Iterator[None]:
        """While inside, `show` repaints; the last table stays on the screen."""
        if self._quiet or not self._console.is_terminal:
            yield
            return
        with Live(console=self._console, refresh_per_second=8) as self._live:
            yield
        self._live = None

    def show(self, rows: Sequence[Row]) -> None:
        """The present state of all programs."""
        if self._live:
            self._live.update(table(rows))
        elif not self._quiet:
            self._say_news(rows)

    def _say_news(self, rows: Sequence[Row]) -> None:
        for row in rows:
            if row.state == "ready" and row.name not in self._said:
                self._said.add(row.name)
                self._console.print(f"  {row.name:<14} ready after {row.seconds:.1f} s", highlight=False)


def table(rows: Sequence[Row]) -> Table:
    """The rows, aligned, each with what it waits for."""
    grid = Table.grid(padding=(0, 2))
    for row in rows:
        style = STYLES.get(row.state, "dim")
        grid.add_row(row.name, f"[{style}]{row.state}[/]", f"{row.seconds:5.1f} s", f"[dim]{row.detail[:100]}[/]")
    return grid
