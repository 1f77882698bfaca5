"""The command line as a whole: global options, groups, and the one place where errors become exit codes."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from bmase.cli import (
    admin,
    exits,
    explaining,
    imports,
    inference,
    jobs,
    models,
    monitoring,
    papers,
    pipelines,
    push,
    releases,
    reproduce,
    routes,
    schedules,
    serving,
)
from bmase.cli.command import Cli
from bmase.cli.plugins import Commands
from bmase.errors import BmaseError

# What typer raises for a wrong command line; it does not export the name.
UsageError: Any = typer.BadParameter.__mro__[1]
DEBUG = "BMASE_DEBUG"

app = typer.Typer(
    name="bmase",
    cls=Commands,
    help="Models as a service: make versions, serve them, send traffic to them.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # its panels double the time until the help is there
)


def _version(wanted: bool) -> None:
    if wanted:
        from bmase import __version__  # noqa: PLC0415

        print(__version__)
        raise typer.Exit


@app.callback()
def root(
    ctx: typer.Context,
    *,
    # `bmase.settings` reads the variables, so that `bmase config` can say where a value is from.
    address: Annotated[
        str | None, typer.Option(help="The gateway: HOST:PORT, or https://HOST:PORT; BMASE_ADDRESS without it.")
    ] = None,
    token: Annotated[str | None, typer.Option(help="Sent with every call; BMASE_TOKEN without it.")] = None,
    ca: Annotated[
        str | None, typer.Option(help="PEM file of the server's CA, turns TLS on; BMASE_CA without it.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As --json of the command.")] = False,
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Show it.")] = False,
) -> None:
    """Models as a service: make versions, serve them, send traffic to them."""
    if not isinstance(ctx.obj, Cli):
        ctx.obj = Cli({"address": address, "token": token, "ca": ca}, as_json)
        ctx.call_on_close(ctx.obj.close)


WORK, TRAFFIC, REST = "Models", "Serving", "More"
app.add_typer(push.app)
app.add_typer(papers.app)
app.add_typer(jobs.training)
app.add_typer(imports.app)
app.add_typer(reproduce.app)
app.add_typer(models.models, name="models", rich_help_panel=WORK)
app.add_typer(models.versions, name="versions", rich_help_panel=WORK)
app.add_typer(models.aliases, name="alias", rich_help_panel=WORK)
app.add_typer(pipelines.app, name="pipelines", rich_help_panel=WORK)
app.add_typer(schedules.app, name="schedules", rich_help_panel=WORK)
app.add_typer(jobs.app, name="jobs", rich_help_panel=WORK)
app.add_typer(serving.app)
app.add_typer(inference.app)
app.add_typer(explaining.app, name="explain", rich_help_panel=TRAFFIC)
app.add_typer(serving.deployments, name="deployments", rich_help_panel=TRAFFIC)
app.add_typer(serving.nodes, name="nodes", rich_help_panel=TRAFFIC)
app.add_typer(routes.app, name="route", rich_help_panel=TRAFFIC)
app.add_typer(releases.app, name="release", rich_help_panel=TRAFFIC)
app.add_typer(monitoring.app, name="monitor", rich_help_panel=TRAFFIC)
app.add_typer(admin.app)
app.add_typer(admin.config, name="config", rich_help_panel=REST)
app.add_typer(admin.protos, name="protos", rich_help_panel=REST)


def main() -> None:
    """Entry point of the command `bmase`."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Runs one command line and returns its exit code."""
    as_json = "--json" in arguments
    try:
        result = typer.main.get_command(app).main(list(arguments), prog_name="bmase", standalone_mode=False)
        sys.stdout.flush()
    except UsageError as error:
        return _misused(error, as_json)
    except KeyboardInterrupt:
        return exits.INTERRUPTED
    except BrokenPipeError:
        # Nobody reads any more; the interpreter must not try to flush at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return exits.FAILED
    except Exception as error:
        if os.environ.get(DEBUG) == "1":
            raise
        return _failed(_as_ours(error), as_json)
    return result if isinstance(result, int) else 0


def _as_ours(error: Exception) -> BmaseError:
    """Every error in the words of the command line."""
    if isinstance(error, BmaseError):
        return error
    if isinstance(error, OSError):
        return BmaseError(str(error), reason="OS_ERROR")
    if isinstance(error, typer.Abort):
        return BmaseError("aborted", reason="ABORTED")
    return BmaseError(
        f"unexpected {type(error).__name__}: {error}", reason="DEFECT", hint=f"{DEBUG}=1 shows where it comes from."
    )


def _failed(error: BmaseError, as_json: bool) -> int:
    exits.show(error, as_json)
    return exits.code_of(error)


def _misused(error: Any, as_json: bool) -> int:
    if as_json:
        found = {"reason": "USAGE", "status": "INVALID_ARGUMENT", "message": error.format_message(), "hint": ""}
        print(json.dumps({"error": found}), file=sys.stderr)
    else:
        error.show()
    return exits.USAGE


if __name__ == "__main__":
    main()
