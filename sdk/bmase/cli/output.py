"""Where a command's results go: JSON for machines or tables for people on stdout, everything else on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from bmase.cli import jsonform

if TYPE_CHECKING:
    from rich.console import Console

Column = tuple[str, Callable[[Any], object]]
UNLIMITED = 10_000  # columns: output that is not for a terminal is never cut


class Output:
    """One command's output, in one of two forms."""

    def __init__(self, as_json: bool) -> None:
        self.as_json = as_json

    @property
    def live(self) -> bool:
        """Whether progress can be drawn."""
        return not self.as_json and sys.stderr.isatty()

    def rows(self, messages: Sequence[Any], columns: Sequence[Column], empty: str = "none") -> None:
        """A list: one JSON array, or a table."""
        if self.as_json:
            self.document(list(messages))
        elif not messages:
            self.note(empty)
        else:
            self._table(messages, columns)

    def one(self, message: Any, columns: Sequence[Column], say: str = "") -> None:
        """One thing: a JSON object, or its fields below each other, after a sentence if there is one."""
        if self.as_json:
            self.document(message)
            return
        if say:
            self.say(say)
        shown = [(title, str(read(message))) for title, read in columns]
        width = max(len(title) for title, _ in shown)
        for title, text in shown:
            if text:
                self.say(f"{title:<{width}}  " + text.replace("\n", "\n" + " " * (width + 2)))

    def event(self, message: Any, line: str) -> None:
        """One event of a stream: a line of JSON, or a line of text."""
        print(json.dumps(jsonform.of(message)) if self.as_json else line, flush=True)

    def document(self, value: Any, indent: int | None = 2) -> None:
        """A JSON document; without an indent on one line, for long arrays."""
        print(json.dumps(jsonform.of(value), indent=indent, ensure_ascii=False))

    def done(self, value: Any, say: str) -> None:
        """The result of a change: JSON, or one sentence."""
        if self.as_json:
            self.document(value)
        else:
            self.say(say)

    def say(self, text: str) -> None:
        """Plain text on stdout, for people."""
        print(text)

    def note(self, text: str) -> None:
        """A remark on stderr, for people."""
        if not self.as_json:
            print(text, file=sys.stderr)

    def errors(self) -> Console:
        """A console on stderr, for progress."""
        from rich.console import Console  # noqa: PLC0415

        return Console(stderr=True, highlight=False)

    def _table(self, messages: Sequence[Any], columns: Sequence[Column]) -> None:
        from rich.console import Console  # noqa: PLC0415
        from rich.table import Table  # noqa: PLC0415
        from rich.text import Text  # noqa: PLC0415

        table = Table(box=None, pad_edge=False, header_style="bold")
        for title, _ in columns:
            table.add_column(title, overflow="fold")
        for message in messages:
            table.add_row(*(Text(str(read(message))) for _, read in columns))
        terminal = sys.stdout.isatty()
        console = Console(width=None if terminal else UNLIMITED, highlight=False)
        if terminal:
            console.print(table)
        else:
            with console.capture() as captured:
                console.print(table)
            print("\n".join(line.rstrip() for line in captured.get().splitlines()))
