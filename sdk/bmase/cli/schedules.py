"""`bmase schedules`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from bmase import names
from bmase.cli import evidence, jsonform, pipelines, planning, words
from bmase.cli.arguments import COMPLETION_SECONDS, Etag, Filter, client_of
from bmase.cli.command import Cli, command
from bmase.cli.output import Column

app = typer.Typer(help="Start pipelines at times, for new data, for drift.", no_args_is_help=True)


def complete_schedule(ctx: typer.Context, incomplete: str) -> list[str]:
    """Names of schedules."""
    try:
        from bmase.core import schedules  # noqa: PLC0415

        with client_of(ctx) as client:
            answer = client.wire.send(schedules.list_all("", 200).page("").within(COMPLETION_SECONDS))
            known = [names.short(schedule.name) for schedule in answer.schedules]
            return [name for name in known if name.startswith(incomplete)]
    except Exception:  # a shell waits for words: whatever is wrong, there is none to offer
        return []


Schedule = Annotated[
    str, typer.Argument(metavar="SCHEDULE", help="The schedule's name.", autocompletion=complete_schedule)
]


def trigger(schedule: Any) -> str:
    """`0 3 * * * Europe/Berlin`, `new data`, `drift`, `by hand`."""
    kind = schedule.WhichOneof("trigger") or "manual"
    if kind == "cron":
        return f"{schedule.cron.expression} {schedule.cron.zone}"
    if kind == "drift":
        return "alerts: " + (", ".join(schedule.drift.kinds) or "any")
    return {"data": "new data"}.get(kind, "by hand")


def next_time(schedule: Any) -> str:
    """When it fires next by the clock, local."""
    if not schedule.next_times:
        return ""
    return jsonform.time_of(schedule.next_times[0]).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def running(schedule: Any) -> str:
    """Its pipelines that have not ended."""
    return ", ".join(map(names.short, schedule.active_pipelines))


SCHEDULES: list[Column] = [
    ("SCHEDULE", lambda s: names.short(s.name)),
    ("MODEL", lambda s: names.short(s.model)),
    ("WHEN", trigger),
    ("STATE", lambda s: "paused" if s.paused else "on"),
    ("NEXT", next_time),
    ("RUNNING", running),
    ("MESSAGE", lambda s: s.message),
]
SCHEDULE: list[Column] = [
    ("schedule", lambda s: s.name),
    ("model", lambda s: names.short(s.model)),
    ("trains", lambda s: s.plan.job.recipe or s.plan.job.bundle.entry_point),
    ("when", trigger),
    ("overlap", lambda s: words.enum(s, "overlap")),
    ("state", lambda s: f"paused by {s.paused_by}" if s.paused else "on"),
    ("message", lambda s: s.message),
    ("next", next_time),
    ("running", running),
    ("queue", lambda s: "\n".join(s.queue)),
    ("created", lambda s: words.age(s.create_time) + (f" by {s.created_by}" if s.created_by else "")),
    ("etag", lambda s: s.etag),
]
FIRES: list[Column] = [
    ("TIME", lambda f: evidence.clock(f.time)),
    ("OUTCOME", lambda f: words.enum(f, "outcome")),
    ("PIPELINE", lambda f: names.short(f.pipeline)),
    ("MESSAGE", lambda f: f.message),
]


@command(app, "create")
def create(
    cli: Cli,
    *,
    schedule: Annotated[str, typer.Argument(metavar="SCHEDULE", help="How it shall be called.")],
    file: planning.PlanFile = None,
    model: planning.OfModel = "",
    recipe: planning.Recipe = "",
    data: planning.Data = None,
    param: planning.Parameters = None,
    gate: planning.Gates = None,
    policy: planning.Policy = None,
    no_release: planning.NoRelease = False,
    cron: Annotated[str, typer.Option(help='At these times: "0 3 * * *", @daily.')] = "",
    zone: Annotated[str, typer.Option(help="Of the times, for example Europe/Berlin; UTC without it.")] = "",
    on_data: Annotated[bool, typer.Option("--on-data", help="When the job's data has changed.")] = False,
    settle: Annotated[str, typer.Option(help="With --on-data: for how long nothing may change first.")] = "",
    on_drift: Annotated[bool, typer.Option("--on-drift", help="When the monitor has an alert.")] = False,
    cool_down: Annotated[str, typer.Option(help="With --on-drift: time between two fires.")] = "",
    overlap: Annotated[str, typer.Option(help="While an earlier one still runs: skip, queue, cancel.")] = "",
    paused: Annotated[bool, typer.Option("--paused", help="It fires only when asked, until resumed.")] = False,
) -> None:
    """Make a schedule. Without a trigger it fires only when asked (`run`)."""
    from bmase import plans  # noqa: PLC0415

    if (zone and not cron) or (settle and not on_data) or (cool_down and not on_drift):
        raise typer.BadParameter("--zone belongs to --cron, --settle to --on-data, --cool-down to --on-drift")
    document = planning.document(
        file, model=model, recipe=recipe, data=data, parameters=param, gates=gate, policy=policy, no_release=no_release
    )
    given: dict[str, Any] = {}
    if cron:
        given["cron"] = {"expression": cron, "zone": zone}
    if on_data:
        given["data"] = {"settle": settle} if settle else {}
    if on_drift:
        given["drift"] = {"cool_down": cool_down} if cool_down else {}
    if len(given) > 1:
        raise typer.BadParameter("a schedule has one trigger: --cron, --on-data or --on-drift")
    if given:
        document = {name: value for name, value in document.items() if name not in ("cron", "data", "drift", "manual")}
    document |= given | ({"overlap": overlap} if overlap else {}) | ({"paused": True} if paused else {})
    made = cli.client.schedules.create(plans.schedule(schedule, document))
    cli.out.done(made, f"schedule {names.short(made.name)} of {names.short(made.model)}: {made.message}")


@command(app, "list")
def list_schedules(cli: Cli, *, where: Filter = "") -> None:
    """List schedules."""
    found = list(cli.client.schedules.list(where))
    cli.out.rows(found, SCHEDULES, "no schedules; make one with: bmase schedules create")


@command(app, "show")
def show(cli: Cli, *, schedule: Schedule) -> None:
    """One schedule, and what it waits for."""
    cli.out.one(cli.client.schedules.get(schedule), SCHEDULE)


@command(app, "fires")
def fires(cli: Cli, *, schedule: Schedule) -> None:
    """What there was to fire for, and what became of it."""
    cli.out.rows(list(cli.client.schedules.fires(schedule)), FIRES, "it has not fired yet")


@command(app, "run")
def run(cli: Cli, *, schedule: Schedule, message: pipelines.Message = "") -> None:
    """A pipeline now, also while it is paused; the overlap policy still holds."""
    seen = cli.client.schedules.run(schedule, message)
    short = names.short(seen.pipeline)
    cli.out.done(seen, f"asked for pipeline {short}; follow it with: bmase pipelines watch {short}")


@command(app, "pause")
def pause(cli: Cli, *, schedule: Schedule) -> None:
    """It fires only when asked; pipelines that run go on."""
    seen = cli.client.schedules.pause(schedule)
    cli.out.done(seen, f"{names.short(seen.name)}: {seen.message}")


@command(app, "resume")
def resume(cli: Cli, *, schedule: Schedule) -> None:
    """It goes on from here; times meanwhile are not caught up."""
    seen = cli.client.schedules.resume(schedule)
    cli.out.done(seen, f"{names.short(seen.name)}: {seen.message}")


@command(app, "delete")
def delete(cli: Cli, *, schedule: Schedule, etag: Etag = "") -> None:
    """Its pipelines stay and go on."""
    cli.client.schedules.delete(schedule, etag=etag)
    cli.out.done({"name": names.schedule(schedule), "deleted": True}, f"{names.short(schedule)} is gone")


@command(app, "watch")
def watch_schedule(cli: Cli, *, schedule: Schedule) -> None:
    """Follow what it starts (Ctrl-C ends the view)."""
    wanted = cli.client.schedules.get(schedule)
    for seen in cli.client.pipelines.watch_all(names.short(wanted.model)):
        if seen.schedule == wanted.name:
            cli.out.event(seen, pipelines.line(seen))
