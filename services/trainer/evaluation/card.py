"""The model card: what a version is, from what it was made, how good it is and where it is not, as Markdown.

Source: Mitchell et al., Model Cards for Model Reporting, FAT* 2019, arXiv:1810.03993.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from services.trainer.evaluation.comparison import Comparison
from services.trainer.evaluation.documents import Document
from services.trainer.evaluation.evaluate import Evaluation
from services.trainer.evaluation.gates.gate import Decision
from services.trainer.evaluation.slices import Slices

MOST_SLICES = 40

Rows = list[list[str]]


@dataclass(frozen=True)
class Card(Document):
    """All that the card is written from. `pictures`: title -> path beside the card."""

    model: str
    version: int = 0  # 0: not numbered yet
    description: str = ""
    data: dict[str, Any] = field(default_factory=dict)
    parameters: dict[str, Any] = field(default_factory=dict)
    lineage: dict[str, Any] = field(default_factory=dict)
    evaluation: Evaluation | None = None
    decision: Decision | None = None
    pictures: dict[str, str] = field(default_factory=dict)


def markdown(card: Card) -> str:
    """What is not known has no section; what was not measured is said."""
    numbered = f", version {card.version}" if card.version else ""
    parts = [f"# {_safe(card.model)}{numbered}"]
    if card.description:
        parts.append(_safe(card.description))
    if card.decision is not None:
        parts.append(_section("Gates", _verdict(card.decision), _gates(card.decision)))
    parts += _evaluated(card.evaluation) if card.evaluation is not None else ["It was not evaluated."]
    for heading, known in (("Data", card.data), ("Parameters", card.parameters), ("Lineage", card.lineage)):
        if known:
            parts.append(_section(heading, "", _pairs(known)))
    if card.pictures:
        shown = [f"![{_safe(title)}](<{path}>)" for title, path in card.pictures.items()]
        parts.append("## Pictures\n\n" + "\n\n".join(shown))
    return "\n\n".join(parts) + "\n"


def _evaluated(found: Evaluation) -> Iterator[str]:
    level = f"{100 * found.setting.level:g} %"
    said = f"On {found.rows:,} held-out rows ({found.task}); intervals are two-sided, {level}."
    said += "".join(f" No {name}: {_safe(why)}." for name, why in found.left_out.items())
    rows = [["metric", "value", "interval", "better", "by"]]
    for each in found.estimates:
        rows.append([each.metric, _number(each.value), _ends(each.low, each.high), each.better, each.method])
    yield _section("Evaluation", said, rows)
    if found.comparison is not None:
        yield _compared(found.comparison)
    if found.not_compared:
        yield _section("Not compared with the stable version", _safe(found.not_compared), [])
    if found.calibration is not None:
        yield _section("Calibration", "Of the class that was chosen: is it right as often as it is said to be?", [
            ["figure", "value"],
            *([name.replace("_", " "), _number(getattr(found.calibration, name))] for name in _CALIBRATION),
        ])  # fmt: skip
    if found.slices is not None:
        yield _sliced(found.slices, level)


_CALIBRATION = ("ece", "largest_gap", "brier", "reliability", "resolution", "uncertainty", "within")


def _compared(found: Comparison) -> str:
    said = f"On the same {found.rows:,} rows; the difference is this version minus the stable one."
    said += "".join(f" Not by {name}: {_safe(why)}." for name, why in found.left_out.items())
    rows = [["metric", "stable", "this", "difference", "interval", "p"]]
    for each in found.differences:
        p_value = "" if each.p_value is None else f"{each.p_value:.3g}"
        figures = [_number(each.stable), _number(each.candidate), f"{each.value:+.4g}"]
        rows.append([each.metric, *figures, _ends(each.low, each.high), p_value])
    return _section(f"Compared with version {found.stable_version}", said, rows)


def _sliced(found: Slices, level: str) -> str:
    worse = ", ".join(each.name for each in found.worse)
    said = f"Worse than on all rows: {_safe(worse)}." if worse else "None is shown to be worse than all rows."
    said += f" The {found.looks} intervals hold together at {level}."
    said += "".join(
        f" Of {_safe(each.column)}, {each.values} values with {each.rows:,} rows in all have too few to be looked at."
        for each in found.skipped
    )
    rows = [["slice", "rows", "metric", "value", "interval", ""]]
    for part in found.found[:MOST_SLICES]:
        for look in part.looks:
            value, ends = _number(look.estimate.value), _ends(look.wide.low, look.wide.high)
            rows.append([part.name, f"{part.rows:,}", look.estimate.metric, value, ends, "worse" if look.worse else ""])
    if len(found.found) > MOST_SLICES:
        said += f" The first {MOST_SLICES} of {len(found.found)} are listed."
    return _section("Slices", said, rows)


def _verdict(decision: Decision) -> str:
    return "**Passed.**" if decision.passed else "**Failed: this version is not to be released.**"


def _gates(decision: Decision) -> Rows:
    return [["gate", "outcome", "why"], *([one.gate, one.outcome, one.sentence] for one in decision.answers)]


def _pairs(known: Mapping[str, Any]) -> Rows:
    plain = ((name, value if isinstance(value, str) else json.dumps(value)) for name, value in known.items())
    return [["", ""], *([name, value] for name, value in plain)]


def _section(heading: str, said: str, rows: Rows) -> str:
    parts = [f"## {heading}", said]
    if len(rows) > 1:
        lines = ["| " + " | ".join(map(_safe, row)) + " |" for row in rows]
        parts.append("\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:]]))
    return "\n\n".join(part for part in parts if part)


def _safe(text: str) -> str:
    """On one line, and nothing in it is taken for a table, for HTML or for a link."""
    for sign, written in (("\\", "\\\\"), ("|", "\\|"), ("<", "&lt;"), ("[", "\\["), ("`", "\\`"), ("*", "\\*")):
        text = text.replace(sign, written)
    return " ".join(text.split())


def _number(value: float) -> str:
    return f"{value:.4g}"


def _ends(low: float, high: float) -> str:
    return f"{low:.4g} to {high:.4g}"
