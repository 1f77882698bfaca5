"""`bmase deploy`, `undeploy`, `scale`, `deployments` and `nodes`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from bmase import names
from bmase.cli import parse, words
from bmase.cli.arguments import AnyVersion, Model, Number, OptionalModel
from bmase.cli.bars import StatusLine
from bmase.cli.command import AsJson, Cli, command, root_cli
from bmase.cli.output import Column

app = typer.Typer()
deployments = typer.Typer(help="Which versions run where.", no_args_is_help=True)
nodes = typer.Typer(help="The serving nodes.")

Wait = Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until it is done.")]
Timeout = Annotated[float, typer.Option(min=1, help="Seconds to wait at most.")]

DEPLOYMENTS: list[Column] = [
    ("MODEL", lambda d: names.short(d.model) or d.name.split("/")[1]),
    ("VERSION", lambda d: d.version),
    ("STATE", lambda d: words.enum(d, "state")),
    ("READY", lambda d: f"{d.ready_replicas}/{d.replicas}"),
    ("NODES", lambda d: ", ".join(p.node for p in d.placements)),
    ("POOL", lambda d: d.pool or "any"),
    ("MESSAGE", lambda d: d.message),
    ("UPDATED", lambda d: words.age(d.update_time)),
]
DEPLOYMENT: list[Column] = [
    ("deployment", lambda d: d.name),
    ("state", lambda d: words.enum(d, "state")),
    ("reason", lambda d: d.reason),
    ("message", lambda d: d.message),
    ("ready", lambda d: f"{d.ready_replicas} of {d.replicas}"),
    ("pool", lambda d: d.pool or "any"),
    ("nodes", lambda d: "\n".join(map(_placement, d.placements))),
    ("memory", lambda d: words.size(d.memory_bytes) if d.memory_bytes else ""),
    ("created", lambda d: words.age(d.create_time)),
]
NODES: list[Column] = [
    ("NODE", lambda n: names.short(n.name)),
    ("POOL", lambda n: n.pool),
    ("STATE", lambda n: ("alive" if n.alive else "silent") + (", cordoned" if n.cordoned else "")),
    ("MODELS", lambda n: ", ".join(map(_on_node, n.placements)) or n.models),
    ("MEMORY", lambda n: f"{words.size(n.memory_reserved_bytes)} of {words.size(n.memory_capacity_bytes)}"),
    ("GRPC", lambda n: n.grpc_address),
    ("BACKENDS", lambda n: ", ".join(n.backends)),
]


def _placement(p: Any) -> str:
    return f"{p.node}  {words.enum(p, 'state')}" + (f"  {p.message}" if p.message else "")


def _on_node(p: Any) -> str:
    state = words.enum(p, "state")
    return f"{names.short(p.model)} v{p.version}" + ("" if state == "ready" else f" ({state})")


def _line(d: Any) -> str:
    where = ", ".join(f"{p.node} {words.enum(p, 'state')}" for p in d.placements)
    return (
        f"{words.enum(d, 'state')} {d.ready_replicas}/{d.replicas}"
        + (f" ({where})" if where else "")
        + (f": {d.message}" if d.message else "")
    )


@command(app, rich_help_panel="Serving")
def deploy(
    cli: Cli,
    *,
    model: Model,
    version: AnyVersion = "latest",
    replicas: Annotated[int, typer.Option(min=1, max=100, help="Nodes to run on.")] = 1,
    pool: Annotated[str, typer.Option(help="Only nodes of this pool.")] = "",
    memory_mb: Annotated[int, typer.Option(min=0, help="Reserved on each node; estimated from the files if 0.")] = 0,
    no_route: Annotated[
        bool, typer.Option("--no-route", help="Do not give a model's first deployment the traffic.")
    ] = False,
    wait: Wait = True,
    timeout: Timeout = 600.0,
) -> None:
    """Put a version on serving nodes, and wait until it answers."""
    with StatusLine(cli.out, f"deploying {model}") as line:
        made = cli.client.deploy(
            model, version, replicas=replicas, pool=pool, memory_bytes=memory_mb * 1_000_000, no_route=no_route,
            wait=wait, timeout=timeout, progress=lambda seen: line.tell(_line(seen)),
        )  # fmt: skip
    where = ", ".join(p.node for p in made.placements)
    cli.out.done(
        made,
        f"{names.short(model)} version {made.version} is {words.enum(made, 'state')}"
        + (f" on {where}" if where else ""),
    )


@command(app, rich_help_panel="Serving")
def undeploy(
    cli: Cli,
    *,
    model: Model,
    version: Number,
    force: Annotated[bool, typer.Option("--force", help="Even while it has traffic: its route goes too.")] = False,
    wait: Wait = True,
    timeout: Timeout = 600.0,
) -> None:
    """Take a version out of service without losing a request."""
    number = parse.version(version)
    with StatusLine(cli.out, f"taking {model} version {number} out of service") as line:
        seen = cli.client.undeploy(
            model, number, force=force, wait=wait, timeout=timeout, progress=lambda seen: line.tell(_line(seen))
        )
    cli.out.done(seen, f"{names.short(model)} version {number} is {words.enum(seen, 'state')}")


@command(app, rich_help_panel="Serving")
def scale(
    cli: Cli,
    *,
    model: Model,
    version: Number,
    replicas: Annotated[int, typer.Argument(min=1, max=100)],
    wait: Wait = True,
    timeout: Timeout = 600.0,
) -> None:
    """Run a deployed version on another number of nodes."""
    number = parse.version(version)
    with StatusLine(cli.out, f"scaling {model} version {number}") as line:
        seen = cli.client.deployments.scale(model, number, replicas)
        if wait:
            tell = lambda d: line.tell(_line(d))  # noqa: E731
            seen = cli.client.deployments.wait(model, number, tell, timeout=timeout)
    cli.out.done(seen, f"{names.short(model)} version {number} is {_line(seen)}")


@command(deployments, "list")
def list_deployments(cli: Cli, *, model: OptionalModel = None) -> None:
    """List deployments."""
    cli.out.rows(
        list(cli.client.deployments.list(model)), DEPLOYMENTS, "nothing is deployed; deploy with: bmase deploy MODEL"
    )


@command(deployments, "get")
def get_deployment(cli: Cli, *, model: Model, version: Number) -> None:
    """Show one deployment, with what each node says."""
    cli.out.one(cli.client.deployments.get(model, parse.version(version)), DEPLOYMENT)


@command(deployments, "watch")
def watch_deployment(cli: Cli, *, model: Model, version: Number) -> None:
    """Follow one deployment until it is gone (or Ctrl-C)."""
    for seen in cli.client.deployments.watch(model, parse.version(version)):
        cli.out.event(seen, _line(seen))


@nodes.callback(invoke_without_command=True)
def nodes_alone(ctx: typer.Context, as_json: AsJson = False) -> None:
    """The serving nodes; alone it lists them."""
    cli = root_cli(ctx)
    cli.out.as_json = cli.out.as_json or as_json
    if ctx.invoked_subcommand is None:
        list_nodes(cli)


@command(nodes, "list")
def list_nodes(cli: Cli, *, pool: Annotated[str, typer.Option(help="Only nodes of this pool.")] = "") -> None:
    """List the serving nodes."""
    cli.out.rows(cli.client.nodes.list(pool), NODES, "no node has registered")


@command(nodes, "cordon")
def cordon(cli: Cli, *, node: str) -> None:
    """Give a node nothing new; what it serves stays."""
    cli.out.done(cli.client.nodes.cordon(node), f"{node} is cordoned")


@command(nodes, "uncordon")
def uncordon(cli: Cli, *, node: str) -> None:
    """Let a node take new deployments again."""
    cli.out.done(cli.client.nodes.uncordon(node), f"{node} takes new deployments")
