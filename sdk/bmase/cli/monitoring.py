"""`bmase monitor`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from bmase import names
from bmase.cli import evidence, parse, words
from bmase.cli.arguments import AnyVersion, Limit, Model, Number, OptionalModel
from bmase.cli.command import Cli, command
from bmase.cli.output import Column

app = typer.Typer(help="What requests and answers show: drift, outcomes, alerts, samples.", no_args_is_help=True)

Png = Annotated[Path | None, typer.Option("--png", help="Write a picture, too.")]
Alert = Annotated[str, typer.Argument(metavar="ALERT", help="Its id.")]
SHOWN_OUTPUTS = 12

FEATURES: list[Column] = [
    ("FEATURE", lambda f: f.feature),
    ("MOVED", lambda f: evidence.bar(f.ks)),
    ("KS", lambda f: f"{f.ks:.3f}"),
    ("NEEDS", lambda f: f"{f.threshold:.3f}"),
    ("PSI", lambda f: f"{f.psi:.3f}"),
    ("JS", lambda f: f"{f.js:.3f}"),
    ("ROWS", lambda f: f"{f.rows:,}"),
    ("", lambda f: "drifted" if f.drifted else ""),
]
ARMS: list[Column] = [
    ("VERSION", lambda a: a.version),
    ("REQUESTS", lambda a: f"{a.requests:,}"),
    ("ERRORS", lambda a: _share(a.errors, a.requests)),
    ("SLOW", lambda a: _share(a.slow, a.requests)),
    ("WRONG", lambda a: _share(a.wrong, a.outcomes)),
    ("P50", lambda a: f"{a.p50_ms:.3g} ms"),
    ("P99", lambda a: f"{a.p99_ms:.3g} ms"),
]
ALERTS: list[Column] = [
    ("ALERT", lambda a: names.short(a.name)),
    ("MODEL", lambda a: f"{names.short(a.model)} v{a.version}"),
    ("KIND", lambda a: a.kind),
    ("STATE", lambda a: words.enum(a, "state")),
    ("MESSAGE", lambda a: a.message),
    ("OPENED", lambda a: words.age(a.open_time)),
    ("TAKEN BY", lambda a: a.acknowledged_by),
]
SAMPLES: list[Column] = [
    ("TIME", lambda s: evidence.clock(s.time)),
    ("VERSION", lambda s: s.version),
    ("REQUEST", lambda s: s.request_id),
    ("CLIENT", lambda s: s.client),
    ("STATUS", lambda s: s.status),
    ("TOOK", lambda s: f"{s.duration_ms:.3g} ms"),
    ("ANSWER", lambda s: s.prediction),
    ("RIGHT", lambda s: s.outcome.label if s.HasField("outcome") else ""),
]
CAPTURE: list[Column] = [
    ("model", lambda c: names.short(c.name)),
    ("sampled", lambda c: "never (opted out)" if c.opt_out else f"{c.percent:g} % of requests"),
    ("redacted", lambda c: ", ".join(c.redacted)),
    ("kept", lambda c: f"{c.retention.ToTimedelta()}" if c.HasField("retention") else ""),
    ("at most", lambda c: words.size(c.max_bytes) if c.max_bytes else ""),
    ("label", lambda c: c.label_output),
    ("so far", lambda c: f"{c.sampled:,} sampled, {c.dropped:,} dropped, {words.size(c.stored_bytes)} stored"),
]


def _share(part: int, whole: int) -> str:
    return f"{part:,} ({100 * part / whole:.2g} %)" if whole else ""


@command(app, "drift")
def drift(cli: Cli, *, model: Model, version: AnyVersion, limit: Limit = 20, png: Png = None) -> None:
    """How live traffic differs from the data that a version was made with; what moved most comes first."""
    number = cli.client.versions.get(model, version).number
    report = cli.client.monitor.drift(model, number, limit=limit)
    if png is not None:
        from bmase import plots  # noqa: PLC0415

        png.write_bytes(plots.drift(report))
        cli.out.note(f"wrote {png}")
    if cli.out.as_json:
        cli.out.document(report)
        return
    cli.out.say(report.summary or f"{report.features_drifted} of {report.features_total} features drifted")
    cli.out.rows(list(report.features), FEATURES, "no features: is there a reference, and traffic?")


@command(app, "reference")
def reference(
    cli: Cli,
    *,
    model: Model,
    version: AnyVersion,
    file: Annotated[Path, typer.Argument(exists=True, help=".npz with arrays input:NAME and output:NAME.")],
) -> None:
    """Give rows of its data that a version's live traffic is compared with. Only sketches of them are kept."""
    from bmase import references  # noqa: PLC0415  numpy

    number = cli.client.versions.get(model, version).number
    made = cli.client.monitor.put_reference(model, number, references.from_npz(file))
    cli.out.done(made, f"{made.name} is compared with {made.rows:,} rows of {made.features:,} features")


@command(app, "compare")
def compare(cli: Cli, *, model: Model, stable: Number, candidate: Number, png: Png = None) -> None:
    """Two versions side by side on live traffic."""
    found = cli.client.monitor.compare(model, parse.version(stable), parse.version(candidate))
    if png is not None and found.outputs:
        from bmase import plots  # noqa: PLC0415

        png.write_bytes(plots.distributions(found.outputs[0]))
        cli.out.note(f"wrote {png}")
    if cli.out.as_json:
        cli.out.document(found)
        return
    cli.out.rows([found.stable, found.candidate], ARMS)
    if found.outputs:
        cli.out.rows(list(found.outputs[:SHOWN_OUTPUTS]), FEATURES)


@command(app, "alerts")
def alerts(
    cli: Cli,
    *,
    model: OptionalModel = None,
    everything: Annotated[bool, typer.Option("--all", help="Resolved ones, too.")] = False,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Go on with each as it changes.")] = False,
) -> None:
    """List alerts, latest first."""
    if watch:
        for seen in cli.client.monitor.watch_alerts(model):
            cli.out.event(seen, _alert_line(seen))
        return
    cli.out.rows(list(cli.client.monitor.alerts(model, include_resolved=everything)), ALERTS, "no alerts")


def _alert_line(alert: Any) -> str:
    return (
        f"{names.short(alert.name)} {words.enum(alert, 'state')} {names.short(alert.model)} v{alert.version}: "
        + str(alert.message)
    )


@command(app, "acknowledge")
def acknowledge(cli: Cli, *, alert: Alert, by: Annotated[str, typer.Option(help="Who looks into it.")] = "") -> None:
    """Say that somebody looks into an alert."""
    seen = cli.client.monitor.acknowledge(alert, by)
    cli.out.done(seen, _alert_line(seen))


@command(app, "resolve")
def resolve(cli: Cli, *, alert: Alert) -> None:
    """Say that an alert is over."""
    seen = cli.client.monitor.resolve(alert)
    cli.out.done(seen, _alert_line(seen))


@command(app, "samples")
def samples(
    cli: Cli,
    *,
    model: Model,
    version: Annotated[int, typer.Option(min=0, help="Only this version's.")] = 0,
    wrong: Annotated[bool, typer.Option("--wrong", help="Only those that turned out wrong.")] = False,
    limit: Limit = 20,
) -> None:
    """Sampled requests, latest first."""
    found = []
    for sample in cli.client.monitor.samples(model, version, wrong=wrong, page_size=min(limit, 1000)):
        found.append(sample)
        if len(found) >= limit:
            break
    cli.out.rows(found, SAMPLES, "no samples; how much is kept shows: bmase monitor capture MODEL")


@command(app, "capture")
def capture(
    cli: Cli,
    *,
    model: Model,
    percent: Annotated[float | None, typer.Option(min=0, max=100, help="Of requests to sample.")] = None,
    redact: Annotated[
        list[str] | None, typer.Option(help="A tensor whose values are not kept; may be repeated.")
    ] = None,
    label: Annotated[str | None, typer.Option(help="The output that holds the label.")] = None,
    opt_out: Annotated[bool | None, typer.Option("--opt-out/--opt-in", help="Never look at this model.")] = None,
) -> None:
    """How much of a model's traffic is sampled; with options, change it."""
    present = cli.client.monitor.capture(model)
    if percent is None and redact is None and label is None and opt_out is None:
        cli.out.one(present, CAPTURE)
        return
    if percent is not None:
        present.percent = percent
    if label is not None:
        present.label_output = label
    if opt_out is not None:
        present.opt_out = opt_out
    if redact is not None:
        present.redacted[:] = redact
    cli.out.one(cli.client.monitor.set_capture(present), CAPTURE)
