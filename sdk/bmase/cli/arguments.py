"""Arguments and options that several commands share, with their completion."""

from __future__ import annotations

from typing import Annotated, Any

import typer

COMPLETION_SECONDS = 1.5


def complete_model(ctx: typer.Context, incomplete: str) -> list[str]:
    """Names of models; nothing when the gateway does not answer at once."""
    if not set(incomplete) <= set("abcdefghijklmnopqrstuvwxyz0123456789._-"):
        return []
    try:
        from bmase.core import registry  # noqa: PLC0415

        with client_of(ctx) as client:
            listing = registry.list_models(f'name:"{incomplete}*"' if incomplete else "", "", False, 200)
            answer = client.wire.send(listing.page("").within(COMPLETION_SECONDS))
            return [model.name.removeprefix("models/") for model in answer.models]
    except Exception:  # a shell waits for words: whatever is wrong, there is none to offer
        return []


def complete_version(ctx: typer.Context, incomplete: str) -> list[str]:
    """Versions and aliases of the model that stands before."""
    try:
        from bmase.core import registry  # noqa: PLC0415

        with client_of(ctx) as client:
            model = client.wire.send(registry.get_model(ctx.params["model"]).within(COMPLETION_SECONDS))
            listing = registry.list_versions(ctx.params["model"], "", "", False, 50)
            answer = client.wire.send(listing.page("").within(COMPLETION_SECONDS))
            known = [*map(str, (v.number for v in answer.versions)), *model.aliases, "latest"]
            return [name for name in known if name.startswith(incomplete)]
    except Exception:  # a shell waits for words: whatever is wrong, there is none to offer
        return []


def client_of(ctx: typer.Context) -> Any:
    """A client with the global options, for completion."""
    from bmase.sync import Client  # noqa: PLC0415

    given = ctx.find_root().params
    return Client(**{name: given.get(name) for name in ("address", "token", "ca")})


Model = Annotated[str, typer.Argument(metavar="MODEL", help="The model's name.", autocompletion=complete_model)]
AnyVersion = Annotated[
    str, typer.Argument(metavar="VERSION", help="A number, an alias, or `latest`.", autocompletion=complete_version)
]
Number = Annotated[
    str, typer.Argument(metavar="VERSION", help="The version's number.", autocompletion=complete_version)
]
OptionalModel = Annotated[
    str | None,
    typer.Argument(metavar="[MODEL]", help="Only this model's; all without it.", autocompletion=complete_model),
]
Labels = Annotated[list[str] | None, typer.Option("--label", "--labels", metavar="KEY=VALUE", help="May be repeated.")]
Filter = Annotated[str, typer.Option("--filter", "-f", help='Terms joined by AND, for example labels.team="x".')]
OrderBy = Annotated[str, typer.Option(help="For example: create_time desc.")]
ShowDeleted = Annotated[bool, typer.Option("--show-deleted", help="Also what is deleted but can be undeleted.")]
Limit = Annotated[int, typer.Option(min=1, help="Print at most so many.")]
Etag = Annotated[str, typer.Option(help="Only if nobody changed it since: the etag from when it was read.")]
