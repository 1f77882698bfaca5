"""The report of a release: what was decided when, on which numbers. Markdown, or HTML in one file with its picture."""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from bmase import names, plots
from bmase.core.releases import state_word

STYLE = """body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222}
table{border-collapse:collapse;margin:1rem 0}th,td{text-align:left;padding:.25rem .8rem;border-bottom:1px solid #ddd}
th{font-weight:600;color:#555}img{max-width:100%}.verdict{font-size:1.1rem}"""
Rows = list[list[str]]


def markdown(release: Any, events: Sequence[Any], picture: str = "") -> str:
    """Markdown; `picture` is the path of the plot, when there is one."""
    parts = [f"# {_title(release)}", f"**{state_word(release).capitalize()}.** {release.message}"]
    if picture:
        parts.append(f"![traffic and evidence over time]({picture})")
    for heading, rows in _tables(release, events):
        lines = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
        lines.insert(1, "|" + "---|" * len(rows[0]))
        parts.append(f"## {heading}\n\n" + "\n".join(lines))
    return "\n\n".join(parts) + "\n"


def webpage(release: Any, events: Sequence[Any]) -> str:
    """HTML that needs no other file."""
    picture = base64.b64encode(plots.release(events)).decode() if events else ""
    said = html.escape
    parts = [f"<h1>{said(_title(release))}</h1>"]
    parts.append(f'<p class="verdict"><b>{said(state_word(release).capitalize())}.</b> {said(release.message)}</p>')
    if picture:
        parts.append(f'<img alt="traffic and evidence over time" src="data:image/png;base64,{picture}">')
    for heading, rows in _tables(release, events):
        head = "".join(f"<th>{said(cell)}</th>" for cell in rows[0])
        body = "".join("<tr>" + "".join(f"<td>{said(cell)}</td>" for cell in row) + "</tr>" for row in rows[1:])
        parts.append(f"<h2>{said(heading)}</h2><table><tr>{head}</tr>{body}</table>")
    title = f"<title>{said(_title(release))}</title>"
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8">{title}<style>{STYLE}</style>{"".join(parts)}</html>\n'
    )


def _title(release: Any) -> str:
    return (
        f"{names.short(release.model)}: version {release.stable} to {release.candidate} ({names.short(release.name)})"
    )


def _tables(release: Any, events: Sequence[Any]) -> list[tuple[str, Rows]]:
    found = [("Requests", _arms(release.evidence)), ("Evidence against the candidate", _suspicions(release.evidence))]
    found.append(("What happened", _history(events)))
    return [(heading, rows) for heading, rows in found if len(rows) > 1]


def _arms(seen: Any) -> Rows:
    rows = [["", "requests", "server errors", "slow", "wrong of reported", "p50 ms", "p99 ms"]]
    for name in ("stable", "candidate"):
        arm = getattr(seen, name)
        if arm.version:
            wrong = f"{arm.wrong:,} of {arm.outcomes:,}" if arm.outcomes else ""
            counts = [f"{count:,}" for count in (arm.requests, arm.errors, arm.slow)]
            rows.append([f"{name}, version {arm.version}", *counts, wrong, f"{arm.p50_ms:.3g}", f"{arm.p99_ms:.3g}"])
    return rows


def _suspicions(seen: Any) -> Rows:
    rows = [["kind", "e-value", "rolled back at", "events of the candidate", "of the stable version", "likely ratio"]]
    for one in seen.suspicions:
        ratio = f"{one.ratio:.3g}" if one.ratio else ""
        events = [str(one.candidate_events), str(one.stable_events)]
        rows.append([plots.KINDS.get(one.kind, "?"), f"{one.evidence:.3g}", f"{one.limit:.3g}", *events, ratio])
    return rows


def _history(events: Sequence[Any]) -> Rows:
    rows = [["time (UTC)", "what", "traffic", "why", "by"]]
    for event in events:
        moment = datetime.fromtimestamp(event.time.seconds + event.time.nanos / 1e9, UTC)
        stamp = moment.strftime("%Y-%m-%d %H:%M:%S.%f")[:-5]
        rows.append([stamp, event.kind, f"{event.percent:g} %", event.message or event.reason, event.actor])
    return rows
