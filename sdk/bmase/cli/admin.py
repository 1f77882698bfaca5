"""`bmase gc`, `watch`, `version`, `config` and `protos`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from bmase import __version__, names, settings
from bmase.cli import parse, words
from bmase.cli.arguments import OptionalModel
from bmase.cli.command import AsJson, Cli, command, root_cli

app = typer.Typer()
config = typer.Typer(help="The address and credentials in use, and where they come from.")
protos = typer.Typer(help="The contract, for clients in any language.", no_args_is_help=True)

FIELDS = ("address", "token", "ca", "cert", "key", "tls")
Field = Annotated[str, typer.Argument(help="address, token, ca, cert, key or tls.")]


@command(app, rich_help_panel="More")
def gc(
    cli: Cli,
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be removed.")] = False,
    min_age: Annotated[str, typer.Option(help="Things younger than this stay, for example 1h.")] = "",
) -> None:
    """Remove what nothing refers to. That is: deleted models and versions past their time, artefacts of no version."""
    seconds = int(parse.duration(min_age, "--min-age").total_seconds()) if min_age else 0
    r = cli.client.models.collect_garbage(dry_run=dry_run, min_age_seconds=seconds)
    counted = f"{r.models} models, {r.versions} versions, {r.artefacts} artefacts, {r.uploads} uploads"
    cli.out.done(r, f"{'would remove' if dry_run else 'removed'} {counted}; {words.size(r.bytes)}")


@command(app, rich_help_panel="More")
def watch(
    cli: Cli,
    *,
    model: OptionalModel = None,
    from_revision: Annotated[int, typer.Option(min=0, help="Go on behind this revision.")] = 0,
) -> None:
    """Follow models and versions. First the present state, then every change (Ctrl-C ends it)."""
    for seen in cli.client.models.watch(model, from_revision=from_revision):
        cli.out.event(seen, f"{seen.revision}  {words.enum(seen, 'kind').replace('_', ' ')}  {_about(seen)}".rstrip())


def _about(seen: Any) -> str:
    if seen.HasField("version"):
        return f"{seen.version.name.split('/')[1]} v{seen.version.number}"
    return f"{names.short(seen.model.name)} {words.mapping(seen.model.aliases)}" if seen.HasField("model") else ""


@command(app, rich_help_panel="More")
def version(cli: Cli) -> None:
    """Show the version of this command."""
    cli.out.done({"version": __version__}, __version__)


@config.callback(invoke_without_command=True)
def config_alone(ctx: typer.Context, as_json: AsJson = False) -> None:
    """The address and credentials in use, and where they come from."""
    cli = root_cli(ctx)
    cli.out.as_json = cli.out.as_json or as_json
    if ctx.invoked_subcommand is None:
        show_config(cli)


@command(config, "show")
def show_config(cli: Cli) -> None:
    """Show what is in use; the token is not shown."""
    found = settings.resolve(cli.given)
    rows = [
        {"name": name, "value": _shown(name, getattr(found.settings, name)), "source": found.sources.get(name, "")}
        for name in FIELDS
    ]
    columns = [(t, lambda r, t=t: r[t.lower()]) for t in ("NAME", "VALUE", "SOURCE")]
    cli.out.rows([row for row in rows if row["source"] or cli.out.as_json], columns, settings.NO_ADDRESS_HINT)


def _shown(name: str, value: object) -> object:
    return "(set)" if name == "token" and value else value


@command(config, "set")
def set_config(cli: Cli, *, name: Field, value: str) -> None:
    """Keep a value in the user's configuration file."""
    _change(cli, name, value)


@command(config, "unset")
def unset_config(cli: Cli, *, name: Field) -> None:
    """Remove a value from the user's configuration file."""
    _change(cli, name, None)


def _change(cli: Cli, name: str, value: str | None) -> None:
    import os  # noqa: PLC0415

    if name not in FIELDS:
        raise typer.BadParameter(f"{name!r} is not one of {', '.join(FIELDS)}", param_hint="NAME")
    file = settings.config_file(os.environ)
    values = settings.read_config(file)
    if value is None:
        values.pop(name, None)
    else:
        values[name] = value
    settings.write_config(file, values)
    cli.out.done({"file": str(file), "names": sorted(values)}, f"written to {file}")


@command(protos, "export")
def export_protos(
    cli: Cli,
    *,
    file: Annotated[Path, typer.Argument(help="Where the descriptor set goes.")] = Path("bmase.binpb"),
) -> None:
    """Write the contract (BMASE's APIs and the inference protocol) as a FileDescriptorSet.

    grpcurl, proto-loader, Buf and most gRPC libraries read it.
    """
    from bmase import protos as contract  # noqa: PLC0415  tritonclient

    made = contract.descriptor_set()
    file.write_bytes(made.SerializeToString())
    cli.out.done({"file": str(file), "protos": [f.name for f in made.file]}, f"{len(made.file)} files in {file}")
