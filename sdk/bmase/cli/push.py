"""`bmase push` and `bmase pull`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from bmase import names
from bmase.cli import parse, words
from bmase.cli.arguments import AnyVersion, Labels, Model
from bmase.cli.bars import Bars
from bmase.cli.command import Cli, command

app = typer.Typer()
LINEAGE = "Lineage"
SERVING = "Serving"


@command(app, rich_help_panel="Models")
def push(
    cli: Cli,
    *,
    model: Model,
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="PATH...", help="A .onnx file, a Triton model directory, or several files.", exists=True
        ),
    ],
    description: Annotated[str, typer.Option("--description", "-d", help="What is new in this version.")] = "",
    alias: Annotated[str, typer.Option(help="Point this alias at the version, also when it exists.")] = "",
    label: Labels = None,
    metric: Annotated[
        list[str] | None, typer.Option(metavar="NAME=NUMBER", help="An evaluation figure; may be repeated.")
    ] = None,
    sample: Annotated[
        list[Path] | None,
        typer.Option(exists=True, help=".npz with arrays input:NAME and output:NAME, checked when a node loads it."),
    ] = None,
    evidence: Annotated[
        list[Path] | None,
        typer.Option(exists=True, help="A file or folder to keep beside the version, never served; may be repeated."),
    ] = None,
    max_batch_size: Annotated[
        int | None, typer.Option(min=0, rich_help_panel=SERVING, help="0: none; found out from the model if not given.")
    ] = None,
    dynamic_batching: Annotated[
        bool | None,
        typer.Option(
            "--dynamic-batching/--no-dynamic-batching", rich_help_panel=SERVING, help="Join requests into batches."
        ),
    ] = None,
    max_queue_delay_us: Annotated[
        int, typer.Option(min=0, rich_help_panel=SERVING, help="How long a request may wait for others.")
    ] = 0,
    instances: Annotated[int, typer.Option(min=0, rich_help_panel=SERVING, help="Copies on each node.")] = 0,
    param: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=VALUE", rich_help_panel=SERVING, help="Passed to the backend; may be repeated."),
    ] = None,
    backend: Annotated[str, typer.Option(rich_help_panel=SERVING, help="Triton's backend; by format if empty.")] = "",
    source: Annotated[str, typer.Option(rich_help_panel=LINEAGE, help="How it was made.")] = "push",
    job: Annotated[str, typer.Option(rich_help_panel=LINEAGE, help="What made it.")] = "",
    data_digest: Annotated[str, typer.Option(rich_help_panel=LINEAGE, help="Of the training data.")] = "",
    code_digest: Annotated[str, typer.Option(rich_help_panel=LINEAGE, help="Of the training code.")] = "",
    environment_digest: Annotated[str, typer.Option(rich_help_panel=LINEAGE, help="Of the environment's lock.")] = "",
    parent_version: Annotated[str, typer.Option(rich_help_panel=LINEAGE, help="models/NAME/versions/N.")] = "",
    seed: Annotated[int, typer.Option(rich_help_panel=LINEAGE)] = 0,
    author: Annotated[str, typer.Option(rich_help_panel=LINEAGE)] = "",
    hyper: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", rich_help_panel=LINEAGE, help="A parameter of the training."),
    ] = None,
) -> None:
    """Make a version from local files. After an interruption the same command goes on where it stopped."""
    from bmase.core.registry import NewVersion  # noqa: PLC0415

    new = NewVersion(
        description=description,
        labels=parse.pairs(label, "--label", str),
        metrics=parse.pairs(metric, "--metric", float),
        samples=_samples(sample),
        max_batch_size=max_batch_size,
        dynamic_batching=dynamic_batching,
        max_queue_delay_us=max_queue_delay_us,
        instances=instances,
        parameters=parse.pairs(param, "--param", str),
        backend=backend,
        lineage={
            "source": source, "job": job, "data_digest": data_digest, "code_digest": code_digest,
            "environment_digest": environment_digest, "parent_version": parent_version, "seed": seed,
            "author": author, "parameters": parse.pairs(hyper, "--hyper", str),
        },
    )  # fmt: skip
    existing: list[Any] = []
    with Bars(cli.out) as bars:
        made = cli.client.push(
            model, paths, new, alias=alias, evidence=evidence or (), progress=bars.transfer, existing=existing.append
        )
    also = f", {alias}" if alias else ""
    short = names.short(model)
    what = f"{short} exists already as version" if existing else f"pushed {short} version"
    size = words.size(made.size_bytes)
    cli.out.done(made, f"{what} {made.number}{also} ({size}); serve it with: bmase deploy {short} {made.number}")


def _samples(files: list[Path] | None) -> list[Any]:
    if not files:
        return []
    from bmase import samples  # noqa: PLC0415  numpy

    return [samples.from_npz(file) for file in files]


@command(app, rich_help_panel="Models")
def pull(
    cli: Cli,
    *,
    model: Model,
    version: AnyVersion = "latest",
    dest: Annotated[Path | None, typer.Option("--to", "-o", help="The folder; ./MODEL without it.")] = None,
) -> None:
    """Bring a version's files here. They are verified, and laid out as a Triton model directory."""
    target = dest or Path(names.short(model))
    with Bars(cli.out) as bars:
        got = cli.client.pull(model, version, target, progress=bars.transfer)
    cli.out.done(got, f"{names.short(model)} version {got.number} is in {target} ({words.size(got.size_bytes)})")
