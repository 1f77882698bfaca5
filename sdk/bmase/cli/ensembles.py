"""`bmase ensemble`: several versions as one, with weights that held-out rows justify."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

import typer

from bmase.cli import parse
from bmase.cli.arguments import Labels
from bmase.cli.command import Cli, command
from bmase.cli.jobs import begin, sources

app = typer.Typer(help="Several versions as one.", no_args_is_help=True)

# Of rows that no member has seen nothing has to be left for training: they are all for weighing and judging.
HELD_OUT = 0.45  # for each


class Task(StrEnum):
    """What members predict."""

    CLASSIFICATION = "classification"
    REGRESSION = "regression"


class Method(StrEnum):
    """How the whole is served."""

    ONNX = "onnx"
    TRITON = "triton"


@command(app, "create")
def create(
    cli: Cli,
    *,
    model: Annotated[str, typer.Argument(metavar="MODEL", help="The model that gets the version.")],
    members: Annotated[list[str], typer.Argument(metavar="MEMBER...", help="MODEL@VERSION, two or more.")],
    data: Annotated[
        list[str], typer.Option("--data", "-d", help="PATH or URI of the members' data, or of held-out rows.")
    ],
    target: Annotated[str, typer.Option(help="The column with the truth.")],
    task: Annotated[Task, typer.Option(help="What the members predict.")] = Task.CLASSIFICATION,
    feed: Annotated[
        list[str] | None,
        typer.Option(
            "--input", metavar="TENSOR=COLUMN[,COLUMN]", help="What feeds a tensor, if not what its version says."
        ),
    ] = None,
    output: Annotated[str, typer.Option(help="The tensor to average; each member's first of fractions without.")] = "",
    logits: Annotated[
        list[str] | None, typer.Option(metavar="MEMBER", help="It gives logits; `all`: all do. May be repeated.")
    ] = None,
    classes: Annotated[
        str, typer.Option(metavar="NAME,NAME", help="Values of the target in the outputs' order, if not 0, 1, ...")
    ] = "",
    group: Annotated[str, typer.Option(help="A column: rows with an equal value are one observation.")] = "",
    held_out: Annotated[
        bool, typer.Option("--held-out", help="No member was trained on any of these rows: all of them are used.")
    ] = False,
    method: Annotated[Method, typer.Option(help="One merged file, or members side by side in Triton.")] = Method.ONNX,
    force: Annotated[
        bool,
        typer.Option("--force", help="Make the version also when it is not better, or a member saw these rows."),
    ] = False,
    min_gain: Annotated[float, typer.Option(min=0, help="What it has to gain, in the loss.")] = 0.0,
    gate: Annotated[
        list[str] | None, typer.Option("--gate", "-g", help="For example: accuracy >= 0.9; may be repeated.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1)] = 0,
    memory: Annotated[float, typer.Option(help="GiB; all members are loaded at once.")] = 2.0,
    labels: Labels = None,
    detach: Annotated[bool, typer.Option("--detach", help="Do not follow it.")] = False,
) -> None:
    """Weigh versions on held-out rows, judge the whole on untouched ones, and register it if it is better than each."""
    from bmase.core import jobs as calls  # noqa: PLC0415  the contract takes a tenth of a second
    from bmase.trainer.v1 import trainer_pb2 as pb  # noqa: PLC0415

    if len(members) < 2:
        raise typer.BadParameter("an ensemble has two members or more", param_hint="MEMBER...")
    given: dict[str, Any] = {
        "members": members,
        "target": target,
        "task": task.value,
        "inputs": {tensor: columns.split(",") for tensor, columns in parse.pairs(feed, "--input", str).items()},
        "output": output,
        "logits": "all" if logits == ["all"] else list(logits or ()),
        "classes": classes.split(",") if classes else [],
        "group": group,
        "tune_on": "all" if held_out else "validation",
        "method": method.value,
        "force": force,
        "min_gain": min_gain,
    }
    wanted = calls.job(
        model,
        recipe="ensemble",
        data=sources(data),
        parameters=given,
        gates=gate or (),
        seed=seed,
        memory_bytes=int(memory * 2**30),
        split=pb.SplitPolicy(validation=HELD_OUT, test=HELD_OUT) if held_out else None,
        labels=parse.pairs(labels, "--label", str),
    )
    begin(cli, wanted, detach=detach, logs=True)  # what is not known of members, and the figures of a refusal
