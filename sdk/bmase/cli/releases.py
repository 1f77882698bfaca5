"""`bmase release`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from bmase import names
from bmase.cli import evidence, words
from bmase.cli.arguments import AnyVersion, Model, OptionalModel
from bmase.cli.command import Cli, command
from bmase.cli.output import Column

app = typer.Typer(help="Move traffic to another version, on evidence.", no_args_is_help=True)

Release = Annotated[str, typer.Argument(metavar="RELEASE", help="Its id, or a model's name for the latest one.")]
PolicyFile = Annotated[
    Path | None, typer.Option("--policy", "-p", exists=True, dir_okay=False, help="TOML or JSON; see the guide.")
]

RELEASES: list[Column] = [
    ("RELEASE", lambda r: names.short(r.name)),
    ("MODEL", lambda r: names.short(r.model)),
    ("FROM", lambda r: r.stable),
    ("TO", lambda r: r.candidate),
    ("STATE", evidence.state),
    ("TRAFFIC", lambda r: f"{r.percent:g} %"),
    ("MESSAGE", lambda r: r.message),
    ("STARTED", lambda r: words.age(r.create_time)),
]
RELEASE: list[Column] = [
    ("release", lambda r: r.name),
    ("model", lambda r: f"{names.short(r.model)}: version {r.stable} -> {r.candidate}"),
    ("state", evidence.state),
    ("traffic", lambda r: f"{r.percent:g} % to version {r.candidate}"),
    ("steps", evidence.steps),
    ("reason", lambda r: r.reason),
    ("message", lambda r: r.message),
    ("evidence", lambda r: evidence.lines(r.evidence) if r.HasField("evidence") else ""),
    ("started", lambda r: words.age(r.create_time) + (f" by {r.created_by}" if r.created_by else "")),
    ("ended", lambda r: words.age(r.end_time)),
]
EVENTS: list[Column] = [
    ("TIME", lambda e: evidence.clock(e.time)),
    ("WHAT", lambda e: e.kind),
    ("TRAFFIC", lambda e: f"{e.percent:g} %"),
    ("REASON", lambda e: e.reason),
    ("MESSAGE", lambda e: e.message),
    ("BY", lambda e: e.actor),
]


@command(app, "start")
def start(
    cli: Cli,
    *,
    model: Model,
    version: AnyVersion = "latest",
    policy: PolicyFile = None,
    steps: Annotated[str, typer.Option(help="Only the steps, in percent: 1,10,50,100.")] = "",
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Follow it until it is decided.")] = False,
) -> None:
    """Release a version: more traffic only on evidence, and back to nothing when it is bad. It needs nobody to look."""
    from bmase import policies  # noqa: PLC0415

    if policy is not None and steps:
        raise typer.BadParameter("give either --policy or --steps")
    chosen = policies.load(policy) if policy is not None else policies.percents(steps) if steps else None
    made = cli.client.releases.start(model, version, chosen)
    if watch:
        _follow(cli, made.name)
        return
    cli.out.done(
        made,
        f"release {names.short(made.name)}: {names.short(made.model)} version {made.stable} -> {made.candidate}; "
        f"follow it with: bmase release watch {names.short(made.name)}",
    )


@command(app, "watch")
def watch_release(cli: Cli, *, release: Release) -> None:
    """Live weights, counts and evidence, until it is over (or Ctrl-C, which stops nothing but the view)."""
    _follow(cli, _named(cli, release))


@command(app, "show")
def show(cli: Cli, *, release: Release) -> None:
    """One release, with the evidence it was last judged on."""
    cli.out.one(cli.client.releases.get(_named(cli, release)), RELEASE)


@command(app, "list")
def list_releases(
    cli: Cli, *, model: OptionalModel = None, active: Annotated[bool, typer.Option("--active")] = False
) -> None:
    """List releases, latest first."""
    found = list(cli.client.releases.list(model, active=active))
    cli.out.rows(found, RELEASES, "no releases; start one with: bmase release start MODEL")


@command(app, "events")
def events(cli: Cli, *, release: Release) -> None:
    """Everything that was decided and done, and why."""
    cli.out.rows(list(cli.client.releases.events(_named(cli, release))), EVENTS)


@command(app, "report")
def report(
    cli: Cli,
    *,
    release: Release,
    to: Annotated[Path, typer.Option("--to", "-o", help="A file that ends in .html or .md.")] = Path("release.html"),
) -> None:
    """Write down what was decided when and on which numbers, with a picture."""
    from bmase import plots, reports  # noqa: PLC0415

    if to.suffix not in {".html", ".md"}:
        raise typer.BadParameter("--to must end in .html or .md")
    seen = cli.client.releases.get(_named(cli, release))
    history = list(cli.client.releases.events(seen.name))
    if to.suffix == ".html":
        to.write_text(reports.webpage(seen, history), encoding="utf-8")
    else:
        picture = to.with_suffix(".png")
        picture.write_bytes(plots.release(history))
        to.write_text(reports.markdown(seen, history, picture.name), encoding="utf-8")
    cli.out.done({"file": str(to)}, f"wrote {to}")


@command(app, "pause")
def pause(cli: Cli, *, release: Release) -> None:
    """Stay at the present weights; a bad version is rolled back all the same."""
    seen = cli.client.releases.pause(_named(cli, release))
    cli.out.done(seen, f"{names.short(seen.name)} stays at {seen.percent:g} %")


@command(app, "resume")
def resume(cli: Cli, *, release: Release) -> None:
    """Go on; also opens a gate."""
    seen = cli.client.releases.resume(_named(cli, release))
    cli.out.done(seen, f"{names.short(seen.name)} goes on at {seen.percent:g} %")


@command(app, "promote")
def promote(
    cli: Cli,
    *,
    release: Release,
    full: Annotated[bool, typer.Option("--full", help="To all of the traffic.")] = False,
) -> None:
    """To the next step now, without waiting for evidence."""
    seen = cli.client.releases.promote(_named(cli, release), full=full)
    cli.out.done(seen, f"{names.short(seen.name)} is {evidence.state(seen)}")


@command(app, "rollback")
def rollback(
    cli: Cli,
    *,
    release: Release,
    message: Annotated[str, typer.Option("--message", "-m", help="Why, for the audit trail.")] = "",
) -> None:
    """Back to the stable version at once; also after promotion, while the old version is kept."""
    seen = cli.client.releases.rollback(_named(cli, release), message)
    cli.out.done(seen, f"{names.short(seen.name)}: all traffic goes back to version {seen.stable}")


def _named(cli: Cli, release: str) -> str:
    """An id as it is; a model's name means its latest release."""
    plain = release.removeprefix("releases/")
    found = next(iter(cli.client.releases.list(plain, page_size=1)), None) if _may_be_model(plain) else None
    return str(found.name) if found is not None else plain


def _may_be_model(text: str) -> bool:
    return not text.startswith("r-")


def _follow(cli: Cli, release: str) -> None:
    if cli.out.as_json or not cli.out.live:
        last = ""
        for seen in cli.client.releases.watch(release):
            line = evidence.line(seen)
            if cli.out.as_json or line != last:
                cli.out.event(seen, line)
            last = line
        return
    _draw(cli, release)


def _draw(cli: Cli, release: str) -> Any:
    from rich.live import Live  # noqa: PLC0415

    from bmase.cli import watchview  # noqa: PLC0415

    view = watchview.View()
    with Live(console=cli.out.errors(), refresh_per_second=4, transient=False) as live:
        for seen in cli.client.releases.watch(release):
            live.update(view.of(seen))
    cli.out.say(evidence.line(seen))
