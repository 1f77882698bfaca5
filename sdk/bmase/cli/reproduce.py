"""`bmase reproduce`."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any

import typer

from bmase import names
from bmase.cli.command import Cli, command
from bmase.cli.jobs import begin
from bmase.lazily import lazily

calls: Any = lazily("bmase.core.jobs")

app = typer.Typer()

RECIPE = "reproduce"
Version = Annotated[str, typer.Argument(metavar="MODEL@VERSION", help="For example digits@3, or digits@stable.")]


@command(app, "reproduce", rich_help_panel="Models")
def reproduce(
    cli: Cli,
    *,
    version: Version,
    cpus: Annotated[float, typer.Option(help="As many as the version was trained with.")] = 1.0,
    memory: Annotated[float, typer.Option(help="GiB.")] = 4.0,
    limit: Annotated[float, typer.Option(help="Hours that it may take.", min=0.001)] = 24.0,
    detach: Annotated[bool, typer.Option("--detach", help="Do not follow it.")] = False,
) -> None:
    """Make a version again from its record: environment, data, code, seed; exit code 1 when it comes out different."""
    model, which = names.reference(version)
    number = cli.client.versions.get(model, which).number
    wanted = calls.job(
        model,
        recipe=RECIPE,
        parameters={"version": f"{model}@{number}"},
        cpus=cpus,
        memory_bytes=int(memory * 2**30),
        time_limit=timedelta(hours=limit),
    )
    begin(cli, wanted, detach=detach, logs=True)  # the verdict, line by line
