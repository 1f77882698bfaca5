"""Commands from other distributions, by the entry-point group `bmase.commands`.

An entry point names a `typer.Typer` (its commands stand under the entry point's name) or a function that is given a
`typer.Typer` to add commands to. They are loaded only for the list of commands and for names that are not BMASE's own;
one that does not load is reported and leaves the rest as it is.
"""

from __future__ import annotations

import importlib.metadata
import sys
from typing import Any

import typer
import typer.core
import typer.main

GROUP = "bmase.commands"
SHORT_HELP = 64


class Commands(typer.core.TyperGroup):
    """The command line's own commands, and those of plug-ins behind them."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.broken: dict[str, str] = {}
        self._loaded = False

    def list_commands(self, ctx: Any) -> list[str]:
        """All names; this is what --help and completion ask for."""
        self._load()
        return super().list_commands(ctx)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command of a name; plug-ins are only asked for names that are not known."""
        if cmd_name not in self.commands:
            self._load()
        if cmd_name not in self.commands and not ctx.resilient_parsing:
            self.report()  # it may be one of theirs
        return super().get_command(ctx, cmd_name)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """The commands in sections, each by the panel that it was registered under."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for name in self.list_commands(ctx):
            found = self.get_command(ctx, name)
            if found is not None and not found.hidden:
                panel = getattr(found, "rich_help_panel", None) or "Commands"
                sections.setdefault(panel, []).append((name, found.get_short_help_str(SHORT_HELP)))
        for title, rows in sections.items():
            with formatter.section(title):
                formatter.write_dl(rows)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """The help, and which plug-ins did not load."""
        super().format_help(ctx, formatter)
        self.report()

    def report(self) -> None:
        """A line on stderr for each plug-in that did not load."""
        for name, problem in self.broken.items():
            print(f"the plug-in {name!r} does not load: {problem}", file=sys.stderr)

    def _load(self) -> None:
        if self._loaded:
            return
        self._loaded = True
        for entry in importlib.metadata.entry_points(group=GROUP):
            try:
                found = _commands(entry.name, entry.load())
            except Exception as problem:
                self.broken[entry.name] = f"{type(problem).__name__}: {problem}"
            else:
                self.commands.update({n: c for n, c in found.items() if n not in self.commands})


def _commands(name: str, found: Any) -> dict[str, Any]:
    app = typer.Typer(rich_markup_mode=None)
    app.callback()(_nothing)
    if isinstance(found, typer.Typer):
        app.add_typer(found, name=name)
    else:
        found(app)
    group: Any = typer.main.get_command(app)
    return dict(group.commands)


def _nothing() -> None:
    """Makes the application a group, however few commands it has."""
