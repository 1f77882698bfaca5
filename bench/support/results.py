"""What a bench leaves behind: a last line of JSON, the same in `bench/results/`, and a plot."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib

from infra.runtime.layout import CHECKOUT

matplotlib.use("Agg")
from matplotlib import pyplot

RESULTS = CHECKOUT / "bench" / "results"


def finish(bench: str, figures: Mapping[str, object]) -> None:
    """Keeps the figures and prints them: the last line of a bench."""
    kept = path(f"{bench}.json")
    kept.write_text(json.dumps(figures, indent=1) + "\n", "utf-8")
    print(json.dumps(figures), flush=True)


def bars(name: str, title: str, unit: str, groups: Mapping[str, Mapping[str, Sequence[float]]]) -> None:
    """One panel a group; a bar is the median of its values, and the dots on it are the values."""
    figure, panels = pyplot.subplots(1, len(groups), figsize=(5 * len(groups), 4), squeeze=False)
    for panel, (group, values) in zip(panels[0], groups.items(), strict=True):
        for place, series in enumerate(values.values()):
            ordered = sorted(series)
            panel.bar(place, ordered[len(ordered) // 2], color="tab:blue", alpha=0.5)
            panel.plot([place] * len(ordered), ordered, "o", color="black", markersize=3)
        panel.set_xticks(range(len(values)), list(values), rotation=30, ha="right")
        panel.set_title(group)
        panel.set_ylabel(unit)
        panel.set_ylim(bottom=0)
    _save(figure, name, title)


def lines(name: str, title: str, across: str, panels: Mapping[str, Mapping[int, float]]) -> None:
    """One panel a quantity, drawn over a logarithmic axis."""
    figure, axes = pyplot.subplots(1, len(panels), figsize=(4.5 * len(panels), 4), squeeze=False)
    for axis, (quantity, points) in zip(axes[0], panels.items(), strict=True):
        axis.plot(list(points), list(points.values()), "o-")
        axis.set_xscale("log")
        axis.set_xlabel(across)
        axis.set_title(quantity)
        axis.set_ylim(bottom=0)
    _save(figure, name, title)


def _save(figure: pyplot.Figure, name: str, title: str) -> None:
    figure.suptitle(title)
    figure.tight_layout()
    figure.savefig(path(f"{name}.png"), dpi=120)
    pyplot.close(figure)


def path(name: str) -> Path:
    """Where a result goes; the folder is made."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    return RESULTS / name
