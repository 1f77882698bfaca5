"""`bmase import`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bmase.cli.arguments import Labels, Model
from bmase.cli.command import Cli, command

if TYPE_CHECKING:
    from bmase.trainer.v1 import trainer_pb2 as pb

app = typer.Typer()
RECIPE = "import"


@command(app, "import", rich_help_panel="Models")
def import_model(
    cli: Cli,
    *,
    model: Model,
    paths: Annotated[
        list[str], typer.Argument(metavar="PATH...", help="Its file, folder or URI; with code also the .py files.")
    ],
    format_: Annotated[
        str, typer.Option("--format", help="onnx, pt2, torchscript, state-dict, sklearn, ...; found out without.")
    ] = "",
    examples: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help=".npz with an array for each input.")
    ] = None,
    rtol: Annotated[float | None, typer.Option(min=0, max=1, help="Of the scale of an output.")] = None,
    atol: Annotated[float | None, typer.Option(min=0)] = None,
    module: Annotated[str, typer.Option(help="FILE:FUNCTION that returns the module of a state dict.")] = "",
    input_: Annotated[
        list[str] | None,
        typer.Option(
            "--input", metavar="NAME=DTYPE[SIZES]", help="For example image=float32[-1,3,32,32]; may be repeated."
        ),
    ] = None,
    unjudged: Annotated[
        list[str] | None, typer.Option(help='A probe that does not decide, for example "not a number".')
    ] = None,
    given: Annotated[
        list[str] | None, typer.Option("--set", "-s", metavar="NAME=VALUE", help="Another parameter, as JSON or text.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Of the inputs that are made up.")] = 0,
    memory: Annotated[
        float, typer.Option(min=0.1, help="GiB that the job may take, and the process that opens the model.")
    ] = 4.0,
    labels: Labels = None,
    detach: Annotated[bool, typer.Option("--detach", help="Do not follow it.")] = False,
) -> None:
    """Make a version of a model of another library: converted to ONNX, and compared with the original."""
    from bmase.cli import jobs, parse  # noqa: PLC0415

    wanted = job(
        model,
        paths,
        examples=examples,
        parameters={
            **jobs.parameters(given),
            **parameters(format_, rtol, atol, module, input_, unjudged),
        },
        seed=seed,
        memory_bytes=int(memory * 2**30),
        labels=parse.pairs(labels, "--label", str),
    )
    jobs.begin(cli, wanted, detach=detach)


def job(model: str, paths: list[str], *, examples: Path | None, parameters: dict[str, Any], **more: Any) -> pb.Job:
    """The job that imports these files."""
    from bmase.core import jobs as calls  # noqa: PLC0415

    data: dict[str, Any] = {"data": paths} | ({"examples": str(examples)} if examples else {})
    return calls.job(model, recipe=RECIPE, data=data, parameters=parameters, **more)


def parameters(  # noqa: PLR0917 - the options, in their order
    format_: str,
    rtol: float | None,
    atol: float | None,
    module: str,
    inputs: list[str] | None,
    unjudged: list[str] | None,
) -> dict[str, Any]:
    """What was given, under the recipe's names."""
    found = {
        "format": format_ or None,
        "rtol": rtol,
        "atol": atol,
        "module": module or None,
        "inputs": dict(_input(each) for each in inputs) if inputs else None,
        "unjudged": unjudged or None,
    }
    return {name: value for name, value in found.items() if value is not None}


def _input(text: str) -> tuple[str, dict[str, Any]]:
    name, equals, rest = text.partition("=")
    dtype, bracket, sizes = rest.partition("[")
    try:
        shape = json.loads(f"[{sizes}") if bracket else [-1, 1]
    except ValueError:
        shape = None
    if not (name and equals and dtype and isinstance(shape, list) and all(isinstance(size, int) for size in shape)):
        raise typer.BadParameter(f"{text!r} is not NAME=DTYPE[SIZES], as in x=float32[-1,64]", param_hint="--input")
    return name, {"dtype": dtype, "shape": shape}
