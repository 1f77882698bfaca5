"""What is kept of an import: every difference as JSON and as a picture, and the words of the card."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from services.trainer.imports import compare, hostile
from services.trainer.imports.compare import Difference
from services.trainer.imports.formats import TRAITS

if TYPE_CHECKING:
    from services.trainer.imports.main import Imported

CONVERSION, PICTURE, TABLE = "conversion.json", "conversion.png", "conversion.md"


def write(imported: Imported, folder: Path) -> dict[str, Path]:
    """The files by their names."""
    folder.mkdir()
    (folder / CONVERSION).write_text(hostile.dumped(document(imported)) + "\n", "utf-8")
    (folder / TABLE).write_text(table(imported.differences), "utf-8")
    _draw(imported.differences, imported.tolerance.rtol, folder / PICTURE)
    return {name: folder / name for name in (CONVERSION, PICTURE, TABLE)}


def document(imported: Imported) -> dict[str, Any]:
    """conversion.json. A difference that is not finite is null: the converted model failed there, or gave no number."""
    report = imported.answered.report
    return {
        "format": str(imported.found.format),
        "source": {"path": imported.found.path, "sha256": imported.digest},
        "origin": report.origin,
        "notes": report.notes,
        "tolerance": asdict(imported.tolerance),
        "worst_rel": _finite(compare.worst(imported.differences)),
        "differences": [{key: _finite(value) for key, value in asdict(each).items()} for each in imported.differences],
        "refused_by_the_original": {each.name: each.refused for each in report.probes if each.refused},
    }


def description(imported: Imported) -> str:
    """One line for lists of versions."""
    title = TRAITS[imported.found.format].title
    kind = imported.answered.report.origin.get("class", "").rpartition(".")[2]
    worst = compare.worst(imported.differences)
    return f"imported from {title}{f', {kind}' if kind else ''}; differs by {worst:.2g} at most"


def notes(imported: Imported) -> dict[str, str]:
    """Lines of the card; `conversion.md` is the whole table."""
    report, found = imported.answered.report, imported.differences
    title = TRAITS[imported.found.format].title
    origin = ", ".join(f"{name} {value}" for name, value in report.origin.items() if value)
    judged = [each for each in found if not each.unjudged]
    probes = len({each.probe for each in judged})
    said = {
        "imported from": f"{title}: {origin}; sha256 of its files {imported.digest}",
        "conversion": f"{probes} batches compared, largest difference {compare.worst(found):.3g} of the output's scale",
    }
    unlike = [f"{each.output} on {each.probe}" for each in found if each.unjudged and not each.within]
    if unlike:
        said["answers otherwise, not judged"] = ", ".join(unlike)
    refused = [each.name for each in report.probes if each.refused]
    if refused:
        said["not taken by the original either"] = ", ".join(refused)
    return {**said, "remarks": "; ".join(report.notes)} if report.notes else said


def table(differences: Sequence[Difference]) -> str:
    """All differences, as Markdown."""
    head = "| output | batch | largest | mean | relative to the scale | |\n|---|---|---|---|---|---|\n"
    rows = [
        (each.output, each.probe, f"{each.max_abs:.3g}", f"{each.mean_abs:.3g}", f"{each.rel:.3g}", _judged(each))
        for each in differences
    ]
    return head + "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _judged(each: Difference) -> str:
    return "not judged" if each.unjudged else "" if each.within else "beyond tolerance"


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _draw(differences: Sequence[Difference], rtol: float, path: Path) -> None:
    """Relative differences, a row a batch, a mark an output; what is equal stands at the left edge."""
    from matplotlib.figure import Figure  # noqa: PLC0415

    probes = list(dict.fromkeys(each.probe for each in differences))
    outputs = list(dict.fromkeys(each.output for each in differences))
    figure = Figure(figsize=(7, 1.2 + 0.3 * len(probes)), layout="constrained")
    axes = figure.subplots()
    for output in outputs:
        mine = [each for each in differences if each.output == output]
        shown = [min(max(each.rel, 1e-10), 1e3) for each in mine]
        axes.plot(shown, [probes.index(each.probe) for each in mine], "o", label=output, alpha=0.7)
    axes.axvline(max(rtol, 1e-10), color="tab:red", linewidth=1, label="rtol")
    axes.set_xscale("log")
    axes.set_xlim(5e-11, 2e3)
    axes.set_yticks(range(len(probes)), probes)
    axes.invert_yaxis()
    axes.set_xlabel("largest difference relative to the output's scale (1e-10: equal)")
    axes.legend(fontsize="small")
    figure.savefig(path, dpi=120)
