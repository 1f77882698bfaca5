"""`bmase infer`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bmase.cli import parse
from bmase.cli.arguments import Model
from bmase.cli.command import Cli, command
from bmase.cli.output import Column

if TYPE_CHECKING:
    from bmase.core.inference import Outputs

app = typer.Typer()
SHOWN = 10


@command(app, rich_help_panel="Serving")
def infer(
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
    version: Annotated[str, typer.Option("--version", "-v", help="This version, whatever the route says.")] = "",
    header: Annotated[
        list[str] | None, typer.Option("--header", "-H", metavar="KEY=VALUE", help="Sent with the request.")
    ] = None,
    timeout: Annotated[float, typer.Option(min=0.001, help="Seconds.")] = 60.0,
) -> None:
    """Send one request and show the answer. Values are made to fit the types and shapes that the model declares."""
    declared = cli.client.metadata(model, version or None).inputs
    sent = values(declared, input_, json_file, npz, image)
    answer = cli.client.infer(
        model,
        sent,
        version or None,
        datatypes={d.name: d.datatype for d in declared},
        headers=parse.pairs(header, "--header", str),
        timeout=timeout,
    )
    _show(cli, answer)


def values(
    declared: Any, texts: list[str] | None, json_file: Path | None, npz: Path | None, image: Path | None
) -> dict[str, Any]:
    """Arrays by input, from what the command line gives, made to fit what the model declares."""
    from bmase.cli import inputs  # noqa: PLC0415  numpy

    known = {d.name: d for d in declared}
    found: dict[str, Any] = {}
    if image is not None:
        if len(known) != 1:
            raise inputs.wrong("image", f"the model has {len(known)} inputs: {', '.join(known)}")
        found[declared[0].name] = inputs.image(image, declared[0])
    given: dict[str, Any] = dict(inputs.from_npz(npz)) if npz else {}
    if json_file is not None:
        given.update(inputs.from_document(_read(json_file)))
    for name, value in given.items():
        found[name] = inputs.fit(value, _declared(known, name))
    for name, text in parse.pairs(texts, "--input", str).items():
        found[name] = inputs.from_text(text, _declared(known, name))
    if not found:
        wanted = ", ".join(f"{d.name} {d.datatype}{list(d.shape)}" for d in declared)
        raise typer.BadParameter(
            f"nothing to send: give --input, --json-file, --npz or --image. The model takes {wanted}"
        )
    return found


def _declared(known: dict[str, Any], name: str) -> Any:
    from bmase.cli import inputs  # noqa: PLC0415

    if name not in known:
        raise inputs.wrong(name, f"the model has no such input; it has {', '.join(known)}")
    return known[name]


def _read(file: Path) -> Any:
    from bmase.cli import inputs  # noqa: PLC0415

    try:
        return json.loads(sys.stdin.read() if str(file) == "-" else file.read_text())
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as problem:
        raise inputs.wrong("json-file", f"{file} cannot be read as JSON: {problem}") from problem


def _show(cli: Cli, answer: Outputs) -> None:
    if cli.out.as_json:
        cli.out.document(_document(answer), indent=None)
        return
    cli.out.note(f"{answer.model_name} version {answer.model_version}")
    columns: list[Column] = [
        ("OUTPUT", lambda o: o[0]),
        ("TYPE", lambda o: _datatype(o[1])),
        ("SHAPE", lambda o: str(list(o[1].shape))),
        ("VALUES", lambda o: _short(o[1])),
        ("HIGHEST", lambda o: _highest(o[1])),
    ]
    cli.out.rows(list(answer.items()), columns)


def _document(answer: Outputs) -> dict[str, Any]:
    """An answer of the Open Inference Protocol, with nested data."""
    return {
        "model_name": answer.model_name,
        "model_version": answer.model_version,
        "outputs": [
            {"name": name, "datatype": _datatype(array), "shape": list(array.shape), "data": _plain(array.tolist())}
            for name, array in answer.items()
        ],
    }


def _plain(value: Any) -> Any:
    """JSON has no bytes, and no NaN or infinity that every reader takes."""
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    if isinstance(value, float) and value - value != 0:
        return str(value)
    return value


def _datatype(array: Any) -> str:
    from bmase.core import tensors  # noqa: PLC0415

    return tensors.datatype_of(array)


def _short(array: Any) -> str:
    flat = array.ravel()[:SHOWN].tolist()
    shown = ", ".join(f"{v:.5g}" if isinstance(v, float) else str(_plain(v)) for v in flat)
    return shown + (f", ... ({array.size} values)" if array.size > SHOWN else "")


def _highest(array: Any) -> str:
    """Where the largest value of a single row stands: the class, for a classifier."""
    row = array.ravel()
    one_row = array.ndim >= 1 and array.shape[-1] == array.size > 1 and array.dtype.kind == "f"
    return f"at {int(row.argmax())}" if one_row else ""
