"""The live view of a release: weights, counts, evidence, and why it is where it is."""

from __future__ import annotations

import math
from typing import Any

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from bmase import names
from bmase.cli import evidence, words

STYLES = {"rollback": "red", "promote": "green", "hold": "yellow"}
STATES = {"completed": "green", "promoted": "green", "rolled_back": "red", "rolling_back": "red", "failed": "red"}
HISTORY = 120


class View:
    """Keeps the evidence of the last minutes for its curve."""

    def __init__(self) -> None:
        self._history: list[float] = []

    def of(self, release: Any) -> RenderableType:
        """The picture for this moment."""
        seen = release.evidence
        nearest = max((_nearness(one) for one in seen.suspicions), default=0.0)
        self._history = [*self._history, nearest][-HISTORY:]
        parts: list[RenderableType] = [_traffic(release), _arms(seen)]
        if seen.suspicions:
            parts += [_suspicions(seen), Text(f"towards rollback  {spark(self._history)}", style="dim")]
        parts.append(_verdict(release))
        style = STATES.get(words.enum(release, "state"), "cyan")
        title = f"{names.short(release.model)}  version {release.stable} -> {release.candidate}"
        return Panel(Group(*parts), title=title, subtitle=evidence.state(release), border_style=style, width=100)


def _traffic(release: Any) -> Text:
    share = release.percent / 100
    text = Text(f"traffic  v{release.candidate} {evidence.bar(share, 40)} {release.percent:g} %")
    if release.evidence.realised_share:
        text.append(f"   seen {100 * release.evidence.realised_share:.1f} %", style="dim")
    text.append(f"\nsteps    {evidence.steps(release)}", style="dim")
    return text


def _arms(seen: Any) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in ("", "requests", "errors", "slow", "wrong", "p50", "p99", "last 10 s"):
        table.add_column(heading, justify="left" if not heading else "right")
    for name in ("stable", "candidate"):
        arm = getattr(seen, name)
        wrong = f"{arm.wrong:,}/{arm.outcomes:,}" if arm.outcomes else ""
        table.add_row(
            f"{name} v{arm.version}",
            *(f"{number:,}" for number in (arm.requests, arm.errors, arm.slow)),
            wrong,
            f"{arm.p50_ms:.3g} ms",
            f"{arm.p99_ms:.3g} ms",
            f"{arm.recent_requests:,}",
        )
    return table


def _suspicions(seen: Any) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in ("against it", "evidence", "", "events", "ratio"):
        table.add_column(heading)
    for one in seen.suspicions:
        near = _nearness(one)
        style = "red" if near >= 1 else "yellow" if near > 1 / 2 else ""
        table.add_row(
            words.enum(one, "kind"),
            Text(f"{one.evidence:.3g} of {one.limit:.3g}", style=style),
            Text(evidence.bar(near), style=style),
            f"{one.candidate_events} against {one.stable_events}",
            f"{one.ratio:.3g}x" if one.ratio else "",
        )
    return table


def _verdict(release: Any) -> Text:
    seen = release.evidence
    word = words.enum(seen, "verdict")
    text = Text()
    if word and word != "unspecified":
        text.append(f"{word}  ", style=f"bold {STYLES.get(word, '')}".strip())
    text.append(release.message or seen.message)
    return text


def _nearness(one: Any) -> float:
    """How far the evidence is on its way to the limit, in orders of magnitude: 0 at no evidence, 1 at the limit."""
    if one.evidence <= 1 or one.limit <= 1:
        return 0.0
    return min(1.0, math.log(one.evidence) / math.log(one.limit))


def spark(values: list[float]) -> str:
    """A curve on one line, of values from 0 to 1."""
    blocks = "▁▂▃▄▅▆▇█"
    return "".join(blocks[round(max(0.0, min(1.0, value)) * (len(blocks) - 1))] for value in values[-60:])
