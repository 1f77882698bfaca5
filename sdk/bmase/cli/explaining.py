"""`bmase explain`: why a served model answers as it does, and the making of explainers."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
import typer.core

from bmase import names
from bmase.cli import inference, parse
from bmase.cli.arguments import Model
from bmase.cli.bars import Bars, StatusLine
from bmase.cli.command import Cli, command
from bmase.cli.output import Column
from bmase.errors import AlreadyExists, InvalidArgument, NotFound

if TYPE_CHECKING:
    from bmase.explaining.answer import Explained
    from bmase.registry.v1 import registry_pb2

SHOW = "show"
SHOWN = 10
LABEL = "explains"


class Explain(typer.core.TyperGroup):
    """`bmase explain MODEL` is `bmase explain show MODEL`."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The named command, or SHOW for a word that is none."""
        return super().resolve_command(ctx, args if args[0] in self.commands else [SHOW, *args])


app = typer.Typer(
    cls=Explain,
    help="Why a model answers as it does: bmase explain MODEL --input ... (its explainer is made with `create`).",
    no_args_is_help=True,
)


@command(app, SHOW)
def show(
    cli: Cli,
    *,
    model: Model,
    input_: Annotated[
        list[str] | None,
        typer.Option("--input", "-i", metavar="NAME=VALUES", help="1,2,3, or JSON, or @FILE.npy; may be repeated."),
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option(help='{"NAME": VALUES} or an Open Inference request; - is stdin.')
    ] = None,
    npz: Annotated[Path | None, typer.Option(exists=True, help="Arrays named as the inputs.")] = None,
    image: Annotated[
        Path | None, typer.Option(exists=True, help="A picture, scaled to the shape of the only input.")
    ] = None,
    version: Annotated[
        int, typer.Option("--version", "-v", min=0, help="Explain this version; 0: the one that its route gives.")
    ] = 0,
    output_index: Annotated[int, typer.Option(min=-1, help="Which value of the output; -1: the highest.")] = -1,
    samples: Annotated[int, typer.Option(min=0, help="Coalitions to ask; 0: as the explainer has it.")] = 0,
    explainer: Annotated[str, typer.Option(help="The explainer's name; MODEL.explain without it.")] = "",
    picture: Annotated[Path | None, typer.Option("--picture", "--png", help="Write a picture, too.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="Show at most so many.")] = SHOWN,
    timeout: Annotated[float, typer.Option(min=0.001, help="Seconds.")] = 60.0,
) -> None:
    """Show what each part of an input adds to the output."""
    declared = cli.client.metadata(model, version or None).inputs
    values = inference.values(declared, input_, json_file, npz, image)
    parameters = {"output_index": output_index} | ({"samples": samples} if samples else {})
    found = _asked(
        cli,
        model=model,
        explainer=explainer or _explainer_of(model),
        values=values,
        declared=declared,
        parameters=parameters | ({"version": version} if version else {}),
        timeout=timeout,
    )
    if picture is not None:
        from bmase.explaining.picture import draw  # noqa: PLC0415  matplotlib

        picture.write_bytes(draw(found[0]))
        cli.out.note(f"wrote {picture}")
    _print(cli, found, limit)


@command(app, "create")
def create(
    cli: Cli,
    *,
    model: Annotated[
        str, typer.Argument(metavar="MODEL[@VERSION]", help="What is to be explained; @latest if left out.")
    ],
    background: Annotated[
        Path, typer.Option(exists=True, help=".npz with rows of every input, which stand for what is taken away.")
    ],
    method: Annotated[str, typer.Option(help="shapley or occlusion.")] = "shapley",
    output: Annotated[str, typer.Option(help="The output tensor; the first one of floats without it.")] = "",
    keep: Annotated[
        list[str] | None, typer.Option(help="An input that stays as it is: a mask. May be repeated.")
    ] = None,
    name: Annotated[
        list[str] | None, typer.Option("--names", metavar="INPUT=A,B,C", help="What its places are called.")
    ] = None,
    samples: Annotated[int, typer.Option(min=0, help="Coalitions for an explanation; 0: by the number of places.")] = 0,
    patch: Annotated[int, typer.Option(min=0, help="Side of a picture's regions; 0: eight by eight of them.")] = 0,
    rows: Annotated[int, typer.Option(min=1, help="Rows of the background to keep at most.")] = 8,
    gateway: Annotated[str, typer.Option(help="Where nodes reach the gateway; the address in use without it.")] = "",
    explainer: Annotated[str, typer.Option(help="Its name; MODEL.explain without it.")] = "",
    deploy: Annotated[bool, typer.Option("--deploy", help="Deploy it, and give it the explainer's traffic.")] = False,
    replicas: Annotated[int, typer.Option(min=1, max=100, help="Nodes to run on.")] = 1,
    timeout: Annotated[float, typer.Option(min=1, help="Seconds to wait for the deployment.")] = 600.0,
) -> None:
    """Make a model's explainer: a version like any other, deployed beside the model."""
    from bmase.explaining.maker import make_explainer  # noqa: PLC0415  numpy
    from bmase.samples import arrays_of  # noqa: PLC0415

    short, _, which = model.partition("@")
    explained = cli.client.versions.get(short, which or None)
    called = explainer or _explainer_of(short)
    places = {key: text.split(",") for key, text in parse.pairs(name, "--names", str).items()}
    with tempfile.TemporaryDirectory(prefix="bmase-explainer-") as scratch:
        folder = make_explainer(
            names.short(short), explained.signature, arrays_of(background), gateway or _address(cli),
            Path(scratch) / "explainer", batched=explained.serving.max_batch_size > 0, method=method, output=output,
            keep=keep or (), names=places, samples=samples, patch=patch, background_rows=rows,
        )  # fmt: skip
        made = _push(cli, called, folder, explained)
    if deploy:
        _deploy(cli, called, made.number, replicas, timeout)
    then = (
        f"ask it with: bmase explain {names.short(short)} --input ..."
        if deploy
        else f"serve it with: bmase deploy {called}"
    )
    cli.out.done(made, f"{called} version {made.number} explains {names.short(short)}; {then}")


def _asked(
    cli: Cli,
    *,
    model: str,
    explainer: str,
    values: dict[str, Any],
    declared: Any,
    parameters: dict[str, Any],
    timeout: float,
) -> list[Explained]:
    from bmase.explaining import answer  # noqa: PLC0415  numpy

    try:
        outputs = cli.client.infer(
            explainer,
            values,
            parameters=parameters,
            datatypes={d.name: d.datatype for d in declared},
            timeout=timeout,
        )
    except NotFound as error:
        if explainer not in error.message:
            raise
        hint = f"Make it with: bmase explain create {names.short(model)} --background rows.npz --deploy"
        raise NotFound(
            f"{names.short(model)} has no explainer: {error.message}", reason=error.reason, hint=hint
        ) from None
    made = cli.client.versions.get(explainer, outputs.model_version)
    return answer.read(names.short(model), outputs, values, dict(made.serving.parameters))


def _print(cli: Cli, found: list[Explained], limit: int) -> None:
    if cli.out.as_json:
        cli.out.document([each.document() for each in found], indent=None)
        return
    columns: list[Column] = [
        ("PART", lambda s: s.name), ("VALUE", lambda s: s.value), ("ADDS", lambda s: f"{s.share:+.5g}"),
    ]  # fmt: skip
    for each in found:
        what = f"{each.output}[{each.output_index}]"
        cli.out.note(
            f"{each.model} version {each.version}: {what} is {each.explained:.5g}, {each.base:.5g} without the row"
        )
        cli.out.rows(each.shares[:limit], columns)


def _push(cli: Cli, called: str, folder: Path, explained: registry_pb2.Version) -> registry_pb2.Version:
    from bmase.core import registry  # noqa: PLC0415

    new = registry.NewVersion(
        description=f"explains {explained.name}",
        labels={LABEL: explained.name.split("/")[1]},
        lineage={"source": "explain", "parent_version": explained.name},
    )
    try:
        with Bars(cli.out) as bars:
            return cli.client.push(called, folder, new, progress=bars.transfer)
    except AlreadyExists as error:
        return cli.client.versions.get(called, registry.equal_version(error))


def _deploy(cli: Cli, called: str, number: int, replicas: int, timeout: float) -> None:
    """Deployed, and with all traffic also when another version had it."""
    try:
        with StatusLine(cli.out, f"deploying {called}") as line:
            tell = lambda seen: line.tell(seen.message)  # noqa: E731
            cli.client.deploy(called, number, replicas=replicas, timeout=timeout, progress=tell)
    except AlreadyExists:
        cli.client.deployments.wait(called, number, timeout=timeout)
    cli.client.routes.set_weights(called, {number: 100})


def _explainer_of(model: str) -> str:
    from bmase.explaining.answer import NAME_SUFFIX  # noqa: PLC0415  numpy

    return names.short(model) + NAME_SUFFIX


def _address(cli: Cli) -> str:
    """The gateway in use, as nodes would reach it."""
    used = cli.client.wire.settings
    if used.target.startswith("unix:"):
        raise InvalidArgument("the gateway's address is a socket", reason="INVALID_FIELD", hint="Give --gateway.")
    return ("https://" if used.secure else "http://") + used.target
