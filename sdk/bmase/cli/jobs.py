"""`bmase train` and `bmase jobs`."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

from bmase import names
from bmase.cli import parse, words
from bmase.cli.arguments import Labels, Model
from bmase.cli.command import Cli, command
from bmase.cli.output import Column
from bmase.lazily import lazily

jobview: Any = lazily("bmase.cli.jobview")  # the contract is imported by the commands that need it
calls: Any = lazily("bmase.core.jobs")

training = typer.Typer()
app = typer.Typer(help="Jobs that make versions: queue, progress, logs, metrics.", no_args_is_help=True)

JobName = Annotated[str, typer.Argument(metavar="JOB", help="Its id, or a model's name for the latest one.")]


def _view(what: str) -> Callable[[Any], str]:
    return lambda job: str(getattr(jobview, what)(job))


JOBS: list[Column] = [
    ("JOB", lambda j: names.short(j.name)),
    ("MODEL", lambda j: names.short(j.model)),
    ("WHAT", lambda j: j.recipe or j.bundle.entry_point),
    ("STATE", _view("state")),
    ("PROGRESS", _view("progress")),
    ("VERSION", lambda j: names.short(j.version) if j.version else ""),
    ("MESSAGE", lambda j: j.message),
    ("CREATED", lambda j: words.age(j.create_time)),
]
JOB: list[Column] = [
    ("job", lambda j: j.name),
    ("model", lambda j: names.short(j.model)),
    ("what", lambda j: j.recipe or f"{j.bundle.entry_point} of {j.bundle.digest}"),
    ("state", _view("state")),
    ("message", lambda j: j.message),
    ("version", lambda j: j.version),
    ("progress", _view("progress")),
    ("data", lambda j: "\n".join(f"{d.name}: {', '.join(d.uris)}" for d in j.data)),
    ("parameters", lambda j: words.mapping({k: jobview.value(v) for k, v in j.parameters.items()})),
    ("seed", lambda j: str(j.seed)),
    ("resources", _view("resources")),
    ("environment", lambda j: j.environment_digest),
    ("gates", _view("gates")),
    ("attempts", _view("attempts")),
    ("checkpoints", lambda j: ", ".join(f"step {c.step} ({words.size(c.size_bytes)})" for c in j.checkpoints)),
    ("times", _view("timings")),
    ("owner", lambda j: j.owner),
    ("created", lambda j: words.age(j.create_time)),
]
POINTS: list[Column] = [
    ("METRIC", lambda p: p.metric),
    ("STEP", lambda p: str(p.step)),
    ("VALUE", lambda p: f"{p.value:.6g}"),
    ("WHEN", lambda p: words.age(p.time)),
]


@command(training, "train", rich_help_panel="Models")
def train(
    cli: Cli,
    *,
    model: Model,
    recipe: Annotated[str, typer.Option("--recipe", "-r", help="A recipe, for example image-classification.")] = "",
    bundle: Annotated[
        Path | None, typer.Option("--bundle", exists=True, help="Your own code: a folder, .tar.gz or .zip.")
    ] = None,
    entry: Annotated[str, typer.Option("--entry", help="module:function in the bundle.")] = "",
    data: Annotated[
        list[str] | None, typer.Option("--data", "-d", help="[NAME=]PATH or URI (file, s3, hdfs); may be repeated.")
    ] = None,
    given: Annotated[
        list[str] | None, typer.Option("--set", "-s", metavar="NAME=VALUE", help="A parameter, as JSON or text.")
    ] = None,
    gate: Annotated[
        list[str] | None, typer.Option("--gate", "-g", help="For example: accuracy >= 0.9; may be repeated.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1)] = 0,
    workers: Annotated[int, typer.Option(min=1, max=1024)] = 1,
    cpus: Annotated[float, typer.Option(help="Of each worker.")] = 1.0,
    memory: Annotated[float, typer.Option(help="GiB of each worker.")] = 2.0,
    gpus: Annotated[int, typer.Option(help="Of each worker.")] = 0,
    limit: Annotated[float, typer.Option(help="Hours that it may take.", min=0.001)] = 24.0,
    priority: Annotated[int, typer.Option(min=-100, max=100)] = 0,
    environment: Annotated[
        Path | None,
        typer.Option("--environment", exists=True, dir_okay=False, help="Requirements with versions and hashes."),
    ] = None,
    snapshot: Annotated[bool, typer.Option("--snapshot", help="Keep the data with the version.")] = False,
    labels: Labels = None,
    detach: Annotated[bool, typer.Option("--detach", help="Do not follow it.")] = False,
) -> None:
    """Train a version, evaluate it, hold it against its gates, and register it."""
    if bool(recipe) == bool(bundle):
        raise typer.BadParameter("give either --recipe or --bundle")
    if bundle and not entry:
        raise typer.BadParameter("goes with --bundle: for example --entry train:main", param_hint="--entry")
    wanted = calls.job(
        model,
        recipe=recipe,
        bundle=jobview.uploaded(cli, bundle) if bundle else "",
        entry_point=entry,
        data=sources(data),
        parameters=parameters(given),
        gates=gate or (),
        seed=seed,
        workers=workers,
        cpus=cpus,
        memory_bytes=int(memory * 2**30),
        gpus=gpus,
        time_limit=timedelta(hours=limit),
        snapshot=snapshot,
        labels=parse.pairs(labels, "--label", str),
        priority=priority,
        environment=jobview.uploaded(cli, environment) if environment else "",
    )
    begin(cli, wanted, detach=detach)


def begin(cli: Cli, wanted: Any, *, detach: bool = False, logs: bool = False) -> None:
    """Creates the job and follows it to its end; the exit code is 1 when it does not succeed. `logs`: then says, to
    people, what its code has printed.
    """
    made = cli.client.jobs.create(wanted)
    if detach:
        cli.out.done(made, f"job {names.short(made.name)}; follow it with: bmase jobs watch {names.short(made.name)}")
        return
    follow(cli, made.name, logs=logs)


def follow(cli: Cli, name: str, *, logs: bool = False) -> None:
    """Live until it has ended (or Ctrl-C, which stops nothing but the view)."""
    ended = jobview.follow(cli, name)
    if logs and not cli.out.as_json:
        jobview.logs(cli, name, keep_on=False)
    if ended.state != calls.State.STATE_SUCCEEDED:
        raise typer.Exit(1)


def sources(items: list[str] | None) -> dict[str, list[str]]:
    """`[NAME=]PLACE` items; several places of one name are one source. What is there is a place, as year=2026/a.csv."""
    found: dict[str, list[str]] = {}
    for item in items or ():
        name, equals, place = item.partition("=")
        if not equals or not name.isidentifier() or Path(item).exists():
            name, place = "data", item
        found.setdefault(name, []).append(place)
    return found


def parameters(items: list[str] | None) -> dict[str, Any]:
    """`NAME=VALUE` items; a value that is no JSON is text."""
    return parse.pairs(items, "--set", _json)


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


@command(app, "list")
def list_jobs(
    cli: Cli,
    *,
    where: Annotated[str, typer.Option("--filter", "-f", help='For example: model:"dig*" AND state=running')] = "",
    active: Annotated[bool, typer.Option("--active", help="Only those that have not ended.")] = False,
    most: Annotated[int, typer.Option("--most", "-n", min=1)] = 50,
) -> None:
    """List jobs, latest first."""
    terms = [term for term in (where, "active=true" if active else "") if term]
    found = []
    for job in cli.client.jobs.list(" AND ".join(terms)):
        found.append(job)
        if len(found) == most:
            break
    cli.out.rows(found, JOBS, "no jobs; begin one with: bmase train MODEL --recipe RECIPE --data PLACE")


@command(app, "show")
def show(cli: Cli, *, job: JobName) -> None:
    """One job: what it does, its attempts, its gates."""
    cli.out.one(cli.client.jobs.get(_named(cli, job)), JOB)


@command(app, "watch")
def watch(cli: Cli, *, job: JobName) -> None:
    """Follow a job with a bar of its progress; exit code 1 when it does not succeed."""
    follow(cli, _named(cli, job))


@command(app, "logs")
def logs(
    cli: Cli,
    *,
    job: JobName,
    keep_on: Annotated[bool, typer.Option("--follow", "-F", help="Go on with what is added.")] = False,
) -> None:
    """What the job's code printed."""
    jobview.logs(cli, _named(cli, job), keep_on)


@command(app, "metrics")
def metrics(
    cli: Cli,
    *,
    job: JobName,
    metric: Annotated[str, typer.Argument(metavar="[METRIC]", help="One series; the last points without it.")] = "",
) -> None:
    """Series of metrics that the job reported."""
    cli.out.rows(list(cli.client.jobs.metrics(_named(cli, job), metric)), POINTS, "it has reported no metrics")


@command(app, "cancel")
def cancel(
    cli: Cli,
    *,
    job: JobName,
    message: Annotated[str, typer.Option("--message", "-m", help="Why, for those who look later.")] = "",
) -> None:
    """End a job and free what it holds."""
    seen = cli.client.jobs.cancel(_named(cli, job), message)
    cli.out.done(seen, f"{names.short(seen.name)} is {'being stopped' if seen.stop_cause else jobview.state(seen)}")


def _named(cli: Cli, job: str) -> str:
    """An id as it is; a model's name means its latest job."""
    plain = job.removeprefix("jobs/")
    if jobview.is_id(plain):
        return plain
    found = next(iter(cli.client.jobs.list(f'model="{plain}"', page_size=1)), None)
    return str(found.name) if found is not None else plain
