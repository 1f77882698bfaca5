"""`bmase route`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from bmase import names
from bmase.cli import parse, words
from bmase.cli.arguments import Etag, Model, OptionalModel
from bmase.cli.command import Cli, command
from bmase.cli.output import Column

app = typer.Typer(help="Where traffic goes.", no_args_is_help=True)

Weights = Annotated[list[str], typer.Argument(metavar="VERSION=WEIGHT...", help="For example: 1=90 2=10.")]


def _shares(route: Any) -> str:
    total = sum(v.weight for v in route.versions) or 1
    return ", ".join(f"v{v.version} {100 * v.weight / total:.4g}%" for v in route.versions)


def _sticky(route: Any) -> str:
    which = route.sticky.WhichOneof("by")
    return "" if which is None else "source ip" if which == "source_ip" else f"header {route.sticky.header}"


def _mirror(route: Any) -> str:
    return f"{route.mirror.percent:g}% to v{route.mirror.version}" if route.HasField("mirror") else ""


def _gateway(state: Any) -> str:
    return f"{state.gateway} {'applied' if state.applied else 'not yet'} {state.message}".rstrip()


ROUTES: list[Column] = [
    ("MODEL", lambda r: names.short(r.name)),
    ("TRAFFIC", _shares),
    ("STICKY", _sticky),
    ("MIRROR", _mirror),
    ("GATEWAYS", lambda r: f"{sum(g.applied for g in r.gateways)}/{len(r.gateways)}" if r.gateways else ""),
    ("UPDATED", lambda r: words.age(r.update_time)),
]
ROUTE: list[Column] = [
    ("route", lambda r: r.name),
    ("traffic", _shares),
    ("sticky", _sticky),
    ("overrides", lambda r: "\n".join(f"{o.header}: {o.value or '*'} -> v{o.version}" for o in r.overrides)),
    ("mirror", _mirror),
    ("timeout", lambda r: f"{r.timeout.ToTimedelta().total_seconds():g} s" if r.HasField("timeout") else ""),
    ("retries", lambda r: r.retries or ""),
    ("gateways", lambda r: "\n".join(map(_gateway, r.gateways))),
    ("etag", lambda r: r.etag),
]


@command(app, "list")
def list_routes(cli: Cli) -> None:
    """List all routes."""
    cli.out.rows(list(cli.client.routes.list()), ROUTES, "no routes; a model's first deployment makes one")


@command(app, "get")
def get_route(cli: Cli, *, model: Model) -> None:
    """Show a model's route."""
    cli.out.one(cli.client.routes.get(model), ROUTE)


@command(app, "weights")
def set_weights(cli: Cli, *, model: Model, weights: Weights, etag: Etag = "") -> None:
    """Change only the weights, within milliseconds; versions that are not named get 0."""
    wanted = parse.weights(weights)
    after = cli.client.routes.set_weights(model, wanted, etag=etag)
    cli.out.done(after, f"{names.short(model)}: {_shares(after)}")


@command(app, "set")
def set_route(
    cli: Cli,
    *,
    model: Model,
    weights: Weights,
    sticky_header: Annotated[str, typer.Option(help="Requests with one value of it stay on one version.")] = "",
    sticky_ip: Annotated[bool, typer.Option("--sticky-ip", help="Requests of one address stay together.")] = False,
    override: Annotated[
        list[str] | None,
        typer.Option(metavar="HEADER[:VALUE]=VERSION", help="Requests with this header go to this version."),
    ] = None,
    mirror: Annotated[str, typer.Option(metavar="VERSION=PERCENT", help="Send copies to this version too.")] = "",
    timeout: Annotated[str, typer.Option(help="Of a request, for example 500ms or 5s; 0s: none.")] = "",
    retries: Annotated[int, typer.Option(min=-1, help="On UNAVAILABLE; 0: default, -1: none.")] = 0,
    etag: Etag = "",
) -> None:
    """Replace a model's route as a whole."""
    from bmase.core.routes import RouteSpec, Sticky  # noqa: PLC0415

    sticky = Sticky(sticky_header) if sticky_header or sticky_ip else None
    spec = RouteSpec(
        weights=parse.weights(weights),
        sticky=sticky,
        overrides=[_override(text) for text in override or ()],
        mirror=_mirror_option(mirror) if mirror else None,
        timeout=parse.duration(timeout, "--timeout") if timeout else None,
        retries=retries,
    )
    after = cli.client.routes.set(model, spec, etag=etag)
    cli.out.done(after, f"{names.short(model)}: {_shares(after)}")


def _override(text: str) -> Any:
    from bmase.core.routes import Override  # noqa: PLC0415

    match, equals, number = text.rpartition("=")
    if not equals:
        raise typer.BadParameter(f"{text!r} must have the form HEADER[:VALUE]=VERSION", param_hint="--override")
    header, _, value = match.partition(":")
    return Override(header=header.strip().lower(), value=value.strip(), version=parse.version(number))


def _mirror_option(text: str) -> Any:
    from bmase.core.routes import Mirror  # noqa: PLC0415

    number, _, percent = text.partition("=")
    shares = parse.pairs([f"percent={percent or 100}"], "--mirror", lambda p: float(p.removesuffix("%")))
    return Mirror(version=parse.version(number), percent=shares["percent"])


@command(app, "delete")
def delete_route(cli: Cli, *, model: Model, etag: Etag = "") -> None:
    """Take a route away: the model gets no traffic."""
    cli.client.routes.delete(model, etag=etag)
    cli.out.done({"name": names.route(model), "deleted": True}, f"{names.short(model)} gets no traffic")


@command(app, "watch")
def watch_routes(cli: Cli, *, model: OptionalModel = None) -> None:
    """Follow the routes (Ctrl-C ends it)."""
    for seen in cli.client.routes.watch(model):
        text = "deleted" if seen.deleted else _shares(seen.route)
        cli.out.event(seen, f"{names.short(seen.route.name)}: {text}")


@command(app, "gateways")
def list_gateways(cli: Cli) -> None:
    """List the gateways, and whether each has the newest routes."""
    columns: list[Column] = [
        ("GATEWAY", lambda g: g.name),
        ("ADDRESS", lambda g: g.address),
        ("ROUTES", lambda g: g.routes),
        ("IN SYNC", lambda g: "yes" if g.in_sync else "no"),
        ("REPORTED", lambda g: words.age(g.report_time)),
    ]
    cli.out.rows(list(cli.client.routes.gateways()), columns, "no gateway has registered")
