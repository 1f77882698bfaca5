"""Options that say what a pipeline is to do; they go before what stands in a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from bmase.cli import parse
from bmase.cli.arguments import complete_model

PlanFile = Annotated[
    Path | None, typer.Option("--file", "-f", exists=True, dir_okay=False, help="TOML or JSON; see the guide.")
]
OfModel = Annotated[
    str, typer.Option("--model", "-m", help="Where the version is registered.", autocompletion=complete_model)
]
Recipe = Annotated[str, typer.Option(help="What trains: a recipe of BMASE.")]
Data = Annotated[list[str] | None, typer.Option("--data", "-d", metavar="URI", help="A path, file://, s3://, hdfs://.")]
Parameters = Annotated[
    list[str] | None, typer.Option("--param", "-p", metavar="NAME=VALUE", help="Of the recipe; may be repeated.")
]
Gates = Annotated[
    list[str] | None, typer.Option("--gate", "-g", help='What the evaluation must show: "accuracy >= 0.9".')
]
Policy = Annotated[
    Path | None, typer.Option("--policy", exists=True, dir_okay=False, help="Of the release: TOML or JSON.")
]
NoRelease = Annotated[bool, typer.Option("--no-release", help="End with a registered version.")]


def document(
    file: Path | None,
    *,
    model: str = "",
    recipe: str = "",
    data: list[str] | None = None,
    parameters: list[str] | None = None,
    gates: list[str] | None = None,
    policy: Path | None = None,
    no_release: bool = False,
) -> dict[str, Any]:
    """The file's content with the options over it."""
    from bmase import plans, policies  # noqa: PLC0415

    found = plans.load(file) if file is not None else {}
    job = {**found.get("job", {})}
    given = {"model": model, "recipe": recipe, "gates": gates, "data": [{"uris": data}] if data else None}
    job |= {name: value for name, value in given.items() if value}
    if parameters:
        job["parameters"] = {**job.get("parameters", {}), **parse.pairs(parameters, "--param", _value)}
    if not job:
        raise typer.BadParameter("say what to do: --file PLAN, or --model and --recipe")
    found["job"] = job
    if policy is not None:
        found["release_policy"] = policies.read(policy)
    return found | ({"no_release": True} if no_release else {})


def _value(text: str) -> Any:
    """A number, a list, true: as in JSON; everything else is text."""
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text
