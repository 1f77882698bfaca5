"""`bmase pipelines`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from bmase import names
from bmase.cli import evidence, jsonform, planning, words
from bmase.cli.arguments import COMPLETION_SECONDS, Filter, Limit, OptionalModel, client_of
from bmase.cli.command import Cli, command
from bmase.cli.output import Column

app = typer.Typer(help="Retrain, evaluate, register and release a model, as one thing.", no_args_is_help=True)


def complete_pipeline(ctx: typer.Context, incomplete: str) -> list[str]:
    """The latest ones."""
    try:
        from bmase.core import pipelines  # noqa: PLC0415

        with client_of(ctx) as client:
            answer = client.wire.send(pipelines.list_all("", 100).page("").within(COMPLETION_SECONDS))
            known = [names.short(pipeline.name) for pipeline in answer.pipelines]
            return [name for name in known if name.startswith(incomplete)]
    except Exception:  # a shell waits for words: whatever is wrong, there is none to offer
        return []


Pipeline = Annotated[
    str, typer.Argument(metavar="PIPELINE", help="Its id, as `list` shows it.", autocompletion=complete_pipeline)
]
Message = Annotated[str, typer.Option("--message", help="Why, for its history.")]


def state(pipeline: Any) -> str:
    """`releasing (stopping)`."""
    plain = words.enum(pipeline, "state").replace("_", " ")
    return f"{plain} (stopping)" if pipeline.stopping else plain


def stages(pipeline: Any) -> str:
    """`retraining 12 s, evaluating 1 s`."""
    shown = []
    for timing in pipeline.timings:
        seconds = timing.duration.seconds + timing.duration.nanos / 1e9
        shown.append(f"{words.enum(timing, 'state')} {seconds:.3g} s")
    return ", ".join(shown)


def line(pipeline: Any) -> str:
    """One line that says where it is and why."""
    name, message = names.short(pipeline.name), pipeline.message
    return f"{name}: {state(pipeline)}" + (f", {message}" if message else "")


PIPELINES: list[Column] = [
    ("PIPELINE", lambda p: names.short(p.name)),
    ("MODEL", lambda p: names.short(p.model)),
    ("STATE", state),
    ("VERSION", lambda p: names.short(p.version)),
    ("SCHEDULE", lambda p: names.short(p.schedule)),
    ("MESSAGE", lambda p: p.message),
    ("STARTED", lambda p: words.age(p.create_time)),
]
PIPELINE: list[Column] = [
    ("pipeline", lambda p: p.name),
    ("state", state),
    ("message", lambda p: p.message),
    ("reason", lambda p: p.reason),
    ("for", lambda p: p.origin),
    ("job", lambda p: p.job),
    ("version", lambda p: p.version),
    ("release", lambda p: p.release),
    ("deployment", lambda p: p.deployment),
    ("schedule", lambda p: p.schedule),
    ("stages", stages),
    ("started", lambda p: words.age(p.create_time) + (f" by {p.created_by}" if p.created_by else "")),
    ("ended", lambda p: words.age(p.end_time)),
]
EVENTS: list[Column] = [
    ("TIME", lambda e: evidence.clock(e.time)),
    ("WHAT", lambda e: e.kind),
    ("STATE", lambda e: words.enum(e, "state").replace("_", " ")),
    ("REASON", lambda e: e.reason),
    ("MESSAGE", lambda e: e.message),
    ("BY", lambda e: e.actor),
]


@command(app, "run")
def run(
    cli: Cli,
    *,
    file: planning.PlanFile = None,
    model: planning.OfModel = "",
    recipe: planning.Recipe = "",
    data: planning.Data = None,
    param: planning.Parameters = None,
    gate: planning.Gates = None,
    policy: planning.Policy = None,
    no_release: planning.NoRelease = False,
    message: Message = "",
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Follow it to its end.")] = False,
) -> int:
    """One now, by hand. With --watch the exit code is 1 when it does not succeed."""
    from bmase import plans  # noqa: PLC0415

    document = planning.document(
        file, model=model, recipe=recipe, data=data, parameters=param, gates=gate, policy=policy, no_release=no_release
    )
    made = cli.client.pipelines.start(plans.plan(document), message)
    if watch:
        return _follow(cli, made.name)
    short = names.short(made.name)
    cli.out.done(made, f"pipeline {short} of {names.short(made.model)}; follow it with: bmase pipelines watch {short}")
    return 0


@command(app, "list")
def list_pipelines(
    cli: Cli,
    *,
    model: OptionalModel = None,
    active: Annotated[bool, typer.Option("--active", help="Only those that have not ended.")] = False,
    where: Filter = "",
    limit: Limit = 50,
) -> None:
    """List pipelines, latest first."""
    import itertools  # noqa: PLC0415

    terms = [f'model="{names.short(model)}"' if model else "", "active=true" if active else "", where]
    found = cli.client.pipelines.list(" AND ".join(term for term in terms if term), page_size=min(limit, 1000))
    cli.out.rows(list(itertools.islice(found, limit)), PIPELINES, "no pipelines; start one with: bmase pipelines run")


@command(app, "show")
def show(cli: Cli, *, pipeline: Pipeline) -> None:
    """One pipeline, with its job, version and release."""
    cli.out.one(cli.client.pipelines.get(pipeline), PIPELINE)


@command(app, "events")
def events(cli: Cli, *, pipeline: Pipeline) -> None:
    """Everything that became of it, and why."""
    cli.out.rows(list(cli.client.pipelines.events(pipeline)), EVENTS)


@command(app, "watch")
def watch_pipelines(
    cli: Cli,
    *,
    pipeline: Annotated[
        str | None, typer.Argument(metavar="[PIPELINE]", help="All without it.", autocompletion=complete_pipeline)
    ] = None,
) -> int:
    """Follow one to its end (exit code 1 when it does not succeed), or all of them (Ctrl-C ends the view)."""
    if pipeline:
        return _follow(cli, pipeline)
    for seen in cli.client.pipelines.watch_all():
        cli.out.event(seen, line(seen))
    return 0


@command(app, "cancel")
def cancel(cli: Cli, *, pipeline: Pipeline, message: Message = "") -> None:
    """Stop it: its job is cancelled, its release rolled back; a version that is registered stays."""
    seen = cli.client.pipelines.cancel(pipeline, message)
    cli.out.done(seen, f"{names.short(seen.name)} is {state(seen)}")


def _follow(cli: Cli, pipeline: str) -> int:
    from bmase.core import pipelines  # noqa: PLC0415

    last, seen = "", None
    for seen in cli.client.pipelines.watch(pipeline):
        told = line(seen)
        if cli.out.as_json or told != last:
            at = jsonform.time_of(seen.stage_time).astimezone().strftime("%H:%M:%S")
            cli.out.event(seen, f"{at} {told}")
        last = told
    return 0 if seen is not None and pipelines.is_good(seen) else 1
