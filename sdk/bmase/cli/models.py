"""`bmase models`, `bmase versions` and `bmase alias`."""

from __future__ import annotations

from itertools import islice
from typing import Annotated, Any

import typer

from bmase import names
from bmase.cli import parse, words
from bmase.cli.arguments import AnyVersion, Etag, Filter, Labels, Limit, Model, Number, OrderBy, ShowDeleted
from bmase.cli.command import Cli, command
from bmase.cli.output import Column

models = typer.Typer(help="What exists.", no_args_is_help=True)
versions = typer.Typer(help="The immutable versions of models.", no_args_is_help=True)
aliases = typer.Typer(help="Names that point at versions: stable, candidate, ...", no_args_is_help=True)

EVIDENCE = 4  # File.ROLE_EVIDENCE, without the tenth of a second that the contract takes to load

Description = Annotated[str | None, typer.Option(help="Up to 4,000 characters.")]

MODELS: list[Column] = [
    ("MODEL", lambda m: names.short(m.name)),
    ("LATEST", lambda m: m.latest_version or "-"),
    ("VERSIONS", lambda m: m.version_count),
    ("ALIASES", lambda m: words.mapping(m.aliases)),
    ("LABELS", lambda m: words.mapping(m.labels)),
    ("UPDATED", lambda m: "deleted" if m.delete_time.seconds else words.age(m.update_time)),
]
MODEL: list[Column] = [
    ("model", lambda m: names.short(m.name)),
    ("description", lambda m: m.description),
    ("latest version", lambda m: m.latest_version or "none"),
    ("versions", lambda m: m.version_count),
    ("aliases", lambda m: words.mapping(m.aliases)),
    ("labels", lambda m: words.mapping(m.labels)),
    ("created", lambda m: words.age(m.create_time)),
    ("deleted", lambda m: words.age(m.delete_time)),
    ("etag", lambda m: m.etag),
]
VERSIONS: list[Column] = [
    ("MODEL", lambda v: v.name.split("/")[1]),
    ("VERSION", lambda v: v.number),
    ("ALIASES", lambda v: ", ".join(v.aliases)),
    ("FORMAT", lambda v: words.enum(v, "format")),
    ("SIZE", lambda v: words.size(v.size_bytes)),
    ("METRICS", lambda v: words.mapping(v.metrics)),
    ("LABELS", lambda v: words.mapping(v.labels)),
    ("CREATED", lambda v: "deleted" if v.delete_time.seconds else words.age(v.create_time)),
]
VERSION: list[Column] = [
    ("version", lambda v: v.name),
    ("description", lambda v: v.description),
    ("aliases", lambda v: ", ".join(v.aliases)),
    ("labels", lambda v: words.mapping(v.labels)),
    ("metrics", lambda v: words.mapping(v.metrics)),
    ("format", lambda v: words.enum(v, "format")),
    ("inputs", lambda v: "\n".join(map(words.tensor, v.signature.inputs))),
    ("outputs", lambda v: "\n".join(map(words.tensor, v.signature.outputs))),
    ("max batch size", lambda v: v.serving.max_batch_size),
    ("files", lambda v: words.files(f for f in v.files if f.role != EVIDENCE)),
    ("evidence", lambda v: words.files(f for f in v.files if f.role == EVIDENCE)),
    ("digest", lambda v: v.digest),
    ("source", lambda v: v.lineage.source),
    ("held by", lambda v: "\n".join(h.holder for h in v.holds)),
    ("created", lambda v: words.age(v.create_time)),
    ("deleted", lambda v: words.age(v.delete_time)),
]


@command(models, "list")
def list_models(
    cli: Cli, *, where: Filter = "", order_by: OrderBy = "", show_deleted: ShowDeleted = False, limit: Limit = 1_000_000
) -> None:
    """List models."""
    found = cli.client.models.list(where, order_by=order_by, show_deleted=show_deleted)
    cli.out.rows(list(islice(found, limit)), MODELS, "no models; make one with: bmase push NAME FILE")


@command(models, "get")
def get_model(cli: Cli, *, model: Model) -> None:
    """Show one model."""
    cli.out.one(cli.client.models.get(model), MODEL)


@command(models, "create")
def create_model(cli: Cli, *, model: Model, description: Description = None, label: Labels = None) -> None:
    """Make a model without versions (`bmase push` makes it by itself)."""
    labels = parse.pairs(label, "--label", str)
    made = cli.client.models.create(model, description=description or "", labels=labels)
    cli.out.done(made, f"created {names.short(made.name)}")


@command(models, "delete")
def delete_model(cli: Cli, *, model: Model, etag: Etag = "") -> None:
    """Delete a model with its versions; `undelete` takes it back until garbage is collected."""
    gone = cli.client.models.delete(model, etag=etag)
    cli.out.done(gone, f"deleted {model}; take it back with: bmase models undelete {model}")


@command(models, "undelete")
def undelete_model(cli: Cli, *, model: Model) -> None:
    """Take a deletion back."""
    cli.out.done(cli.client.models.undelete(model), f"{model} is back")


@command(models, "label")
def label_model(
    cli: Cli,
    *,
    model: Model,
    changes: Annotated[list[str], typer.Argument(help="KEY=VALUE sets a label, KEY- removes it.")],
) -> None:
    """Change labels of a model."""
    before = cli.client.models.get(model)
    labels = _changed(dict(before.labels), changes)
    after = cli.client.models.update(model, labels=labels, etag=before.etag)
    cli.out.done(after, f"labels: {words.mapping(after.labels) or 'none'}")


def _changed(labels: dict[str, str], changes: list[str]) -> dict[str, str]:
    for change in changes:
        if change.endswith("-") and "=" not in change:
            labels.pop(change[:-1], None)
        else:
            labels.update(parse.pairs([change], "CHANGES", str))
    return labels


@command(versions, "list")
def list_versions(
    cli: Cli,
    *,
    model: Annotated[str, typer.Argument(help="The model's name; all models without it.")] = "-",
    where: Filter = "",
    order_by: OrderBy = "",
    show_deleted: ShowDeleted = False,
    limit: Limit = 1_000_000,
) -> None:
    """List versions, newest first."""
    found = cli.client.versions.list(model, where, order_by=order_by, show_deleted=show_deleted)
    cli.out.rows(list(islice(found, limit)), VERSIONS, "no versions; make one with: bmase push NAME FILE")


@command(versions, "get")
def get_version(cli: Cli, *, model: Model, version: AnyVersion = "latest") -> None:
    """Show one version."""
    cli.out.one(cli.client.versions.get(model, version), VERSION)


@command(versions, "delete")
def delete_version(cli: Cli, *, model: Model, version: Number) -> None:
    """Delete a version; refused while an alias or a deployment needs it."""
    number = parse.version(version)
    gone = cli.client.versions.delete(model, number)
    cli.out.done(
        gone, f"deleted {model} v{gone.number}; take it back with: bmase versions undelete {model} {gone.number}"
    )


@command(versions, "undelete")
def undelete_version(cli: Cli, *, model: Model, version: Number) -> None:
    """Take a deletion back."""
    number = parse.version(version)
    back = cli.client.versions.undelete(model, number)
    cli.out.done(back, f"{model} v{back.number} is back")


@command(versions, "label")
def label_version(
    cli: Cli,
    *,
    model: Model,
    version: AnyVersion,
    changes: Annotated[list[str], typer.Argument(help="KEY=VALUE sets a label, KEY- removes it.")],
) -> None:
    """Change labels of a version."""
    before: Any = cli.client.versions.get(model, version)
    after = cli.client.versions.update(model, before.number, labels=_changed(dict(before.labels), changes))
    cli.out.done(after, f"labels: {words.mapping(after.labels) or 'none'}")


@command(aliases, "set")
def set_alias(
    cli: Cli,
    *,
    model: Model,
    alias: str,
    version: AnyVersion,
    expected: Annotated[int, typer.Option(help="Only if it points at this version now; -1: only if it is new.")] = 0,
) -> None:
    """Point an alias at a version."""
    number = names.number(version) or cli.client.versions.get(model, version).number
    after = cli.client.models.set_alias(model, alias, number, expected=expected)
    cli.out.done(after, f"{alias} of {model} is version {number}")


@command(aliases, "delete")
def delete_alias(cli: Cli, *, model: Model, alias: str) -> None:
    """Take an alias away."""
    cli.out.done(cli.client.models.delete_alias(model, alias), f"{model} has no alias {alias} any more")
