"""The suite's commands: they join `bmase` by the entry-point group `bmase.commands`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, NoReturn

import typer
from bmase.cli.command import Cli, command
from rich.console import Console
from rich.table import Table

from infra.local.errors import SuiteError
from infra.local.place import DATA_VARIABLE, Place

DataDir = Annotated[
    Path | None,
    typer.Option("--data-dir", envvar=DATA_VARIABLE, help="The suite's data folder.", show_default=".bmase"),
]
NOT_READY = 3


def register(app: typer.Typer) -> None:
    """Adds the commands to the command line."""
    for function in (up, down, status, logs, doctor):
        command(app, rich_help_panel="The local suite")(function)


def up(
    cli: Cli,
    data_dir: DataDir = None,
    nodes: Annotated[str, typer.Option(help="How many serving nodes, or their names: 3, or blue,green.")] = "",
    timeout: Annotated[float, typer.Option(help="Seconds to wait until everything serves.", min=1)] = 90,
    observed: Annotated[
        bool | None,
        typer.Option(
            "--observability/--no-observability",
            help="With Prometheus and Alertmanager, and Grafana where it is installed; remembered.",
            show_default="as it was, at first without",
        ),
    ] = None,
    *,
    trains: Annotated[
        bool | None,
        typer.Option(
            "--training/--no-training",
            help="With the trainer; remembered.",
            show_default="as it was, at first without",
        ),
    ] = None,
) -> None:
    """Start the suite, or what of it does not run, and wait until it serves."""
    from infra.local.lifecycle import up as start  # noqa: PLC0415  heavy imports only for the command that needs them
    from infra.local.nodes import parse  # noqa: PLC0415
    from infra.local.programs import runtime  # noqa: PLC0415
    from infra.local.view import View  # noqa: PLC0415
    from infra.runtime import RuntimeSetupError, ensure  # noqa: PLC0415

    try:
        place, names = Place.at(data_dir), parse(nodes)
        ensure(runtime(place, observed))
        suite = start(place, names, timeout, View(Console(stderr=True), quiet=cli.out.as_json), observed, trains=trains)
    except RuntimeSetupError as error:
        _fail(SuiteError(str(error)), cli)
    except SuiteError as error:
        _fail(error, cli)
    if cli.out.as_json:
        cli.out.document({"ready": True, "data_dir": str(suite.place.root), "gateway": suite.address("gateway")})
    else:
        Console().print(
            f"BMASE serves at [bold]{suite.address('gateway')}[/] (gRPC and HTTP); stop it with: bmase down"
        )


def down(
    cli: Cli,
    data_dir: DataDir = None,
    purge: Annotated[bool, typer.Option("--purge", help="Also remove all data of this suite.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before removing data.")] = False,
) -> None:
    """Stop the suite; its data stay, and the next `up` goes on with them."""
    from infra.local import lifecycle  # noqa: PLC0415
    from infra.local.view import View  # noqa: PLC0415

    place = Place.at(data_dir)
    if purge and not yes:
        typer.confirm(f"Remove all models, versions and deployments in {place.root}?", abort=True)
    try:
        ended = lifecycle.down(place, View(Console(stderr=True), quiet=cli.out.as_json))
        if purge:
            lifecycle.purge(place)
    except SuiteError as error:
        _fail(error, cli)
    if cli.out.as_json:
        cli.out.document({"stopped": True, "leftovers_ended": ended, "data_removed": purge})
    else:
        Console().print("stopped" + (f"; {ended} processes outlived their supervisor and were ended" if ended else ""))


def status(cli: Cli, data_dir: DataDir = None) -> None:
    """Show what runs, where it listens and whether it serves; exit code 3 when something does not."""
    from infra.local.status import look  # noqa: PLC0415

    try:
        seen = look(Place.at(data_dir))
    except SuiteError as error:
        _fail(error, cli)
    if cli.out.as_json:
        cli.out.document(seen.document())
    elif not seen.running:
        Console().print(f"no suite runs in {seen.data_dir}; start it with: bmase up")
    else:
        grid = Table("program", "state", "pid", "up", "memory", "address", "says", box=None)
        for p in seen.programs:
            state = "[green]ready[/]" if p.ready else f"[yellow]{p.state}[/]"
            grid.add_row(p.name, state, str(p.pid), f"{p.uptime_seconds} s", f"{p.memory_mb} MB", p.address, p.detail)
        Console().print(grid)
    raise typer.Exit(0 if seen.ready else NOT_READY)


def logs(
    cli: Cli,
    programs: Annotated[
        list[str] | None, typer.Argument(help="Programs as `bmase status` names them; none: all.")
    ] = None,
    data_dir: DataDir = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what is added.")] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="Lines of the past, for each program.")] = 50,
) -> None:
    """Show the programs' logs."""
    from infra.local import logs as reader  # noqa: PLC0415

    place = Place.at(data_dir)
    there = {path.stem: path for path in sorted(place.logs.glob("*.log"))}
    unknown = [name for name in programs or () if name not in there]
    if unknown or not there:
        known = f"there are: {', '.join(there)}" if there else "nothing ran here yet: bmase up"
        _fail(SuiteError(f"no log of {', '.join(unknown) or 'any program'} in {place.logs}", hint=known), cli)
    chosen = [there[name] for name in programs or there]
    for path in chosen:
        for line in reader.tail(path, lines):
            _line(cli, path.stem, line, len(chosen) > 1)
    if follow:
        try:
            for name, line in reader.follow(chosen):
                _line(cli, name, line, len(chosen) > 1)
        except KeyboardInterrupt:
            return


def doctor(cli: Cli, data_dir: DataDir = None) -> None:
    """Check this machine, with the remedy for what does not fit; exit code 1 when the suite could not run."""
    from infra.local.doctor import Verdict, examine  # noqa: PLC0415

    findings = examine(Place.at(data_dir))
    if cli.out.as_json:
        cli.out.document([vars(f) for f in findings])
    else:
        signs = {Verdict.OK: "[green]ok[/]", Verdict.WARNING: "[yellow]warning[/]", Verdict.FAILURE: "[red]failure[/]"}
        grid = Table.grid(padding=(0, 2))
        for f in findings:
            grid.add_row(f.check, signs[f.verdict], f.found + (f"\n-> {f.remedy}" if f.remedy else ""))
        Console().print(grid)
    raise typer.Exit(1 if any(f.verdict is Verdict.FAILURE for f in findings) else 0)


def _line(cli: Cli, program: str, line: str, named: bool) -> None:
    cli.out.event({"program": program, "line": line}, f"{program:<14} | {line}" if named else line)


def _fail(error: SuiteError, cli: Cli) -> NoReturn:
    if cli.out.as_json:
        cli.out.document({"error": {"message": error.message, "hint": error.hint, "details": list(error.details)}})
    else:
        console = Console(stderr=True, highlight=False)
        for line in error.details:
            console.print(f"  | {line}", style="dim", markup=False)
        console.print(f"error: {error.message}", style="red", markup=False)
        if error.hint:
            console.print(error.hint, markup=False)
    raise typer.Exit(1) from error
