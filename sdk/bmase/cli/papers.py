"""`bmase evidence`: what is kept beside a version and never served."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from bmase import names
from bmase.cli import words
from bmase.cli.bars import Bars
from bmase.cli.command import Cli, command
from bmase.cli.output import Column
from bmase.errors import InvalidArgument

app = typer.Typer()

FILES: list[Column] = [
    ("FILE", lambda f: f.path.partition("/")[2]),
    ("SIZE", lambda f: words.size(f.size_bytes)),
    ("DIGEST", lambda f: f.digest[:19]),
]


@command(app, rich_help_panel="Models")
def evidence(
    cli: Cli,
    *,
    version: Annotated[str, typer.Argument(metavar="MODEL@VERSION", help="A number or an alias; the latest without.")],
    file: Annotated[str, typer.Argument(metavar="[FILE]", help="Print this one; a folder with --out.")] = "",
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Save it (all of it without FILE) in here.")] = None,
) -> None:
    """List, print or save what is kept beside a version: evaluation, card, plots, ..."""
    model, which = names.reference(version)
    if out is not None:
        with Bars(cli.out) as bars:
            saved = cli.client.pull_evidence(model, which, out, file, progress=bars.transfer)
        cli.out.done([str(path) for path in saved], f"{len(saved)} files are in {out}")
    elif file:
        _print(cli, model, which, file)
    else:
        from bmase import layout  # noqa: PLC0415  the contract takes a tenth of a second

        found = layout.evidence(cli.client.versions.get(model, which))
        cli.out.rows(found, FILES, f"nothing is kept beside {version}")


def _print(cli: Cli, model: str, which: str | None, file: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        saved = cli.client.pull_evidence(model, which, folder, file)
        if len(saved) > 1:
            raise InvalidArgument(f"{file!r} is a folder with {len(saved)} files", hint="Name one, or give --out.")
        content = saved[0].read_bytes()
    if sys.stdout.isatty() and b"\0" in content:
        raise InvalidArgument(f"{file!r} is not text ({words.size(len(content))})", hint="Save it with --out.")
    sys.stdout.flush()
    sys.stdout.buffer.write(content)
