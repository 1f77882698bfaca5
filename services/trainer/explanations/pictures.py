"""Pictures of an explanation on the whole, as PNG."""

from __future__ import annotations

import io

import numpy as np
from bmase.explaining.portable.players import picture
from bmase.plots import CANDIDATE, DPI, STABLE
from matplotlib.figure import Figure

from services.trainer.evaluation.plots import SIDE
from services.trainer.explanations.document import Explanation

BARS = 20


def ranking(explanation: Explanation) -> bytes:
    """The most important parts, with the intervals of their loss, and beside them their Shapley values where known."""
    shown = explanation.importances[:BARS][::-1]
    known = [one for one in shown if one.share is not None]
    figure = Figure(
        figsize=(SIDE * (1.8 if known else 1.2), 1.2 + 0.26 * max(len(shown), 3)), dpi=DPI, layout="constrained"
    )
    panels = figure.subplots(1, 2 if known else 1, squeeze=False, sharey=True)[0]
    places = {one.name: place for place, one in enumerate(shown)}
    panels[0].barh(range(len(shown)), [one.loss for one in shown], color=CANDIDATE)
    for place, one in enumerate(shown):
        low, high = one.loss_bounds.low, one.loss_bounds.high
        if np.isfinite(low) and np.isfinite(high):
            panels[0].plot((low, high), (place, place), color="black", lw=1)
    panels[0].set_yticks(range(len(shown)), [one.name for one in shown], fontsize=8)
    panels[0].set_xlabel(f"rise of the {explanation.loss}" if "change" not in explanation.loss else explanation.loss)
    if known:
        panels[1].barh([places[one.name] for one in known], [one.share or 0.0 for one in known], color=STABLE)
        panels[1].set_xlabel("mean absolute Shapley value")
    for axes in panels:
        axes.spines[["top", "right"]].set_visible(False)
    return _png(figure)


def map_of(explanation: Explanation, name: str) -> bytes:
    """How important each region of a picture is."""
    shape = next(one.shape for one in explanation.inputs if one.name == name)
    axes = picture(shape)
    if axes is None:
        raise ValueError(f"{name!r} of shape {shape} is no picture")
    parts = explanation.players()
    worth = np.full(parts.count + 1, np.nan)
    for one in explanation.importances:
        worth[one.player] = one.loss
    labels = parts.labels[name]
    flat = worth[labels[tuple(slice(None) if axis - len(shape) in axes else 0 for axis in range(len(shape)))]]
    figure = Figure(figsize=(SIDE, SIDE * 0.85), dpi=DPI, layout="constrained")
    drawn_on = figure.subplots()
    drawn = drawn_on.imshow(flat, cmap="viridis")
    figure.colorbar(drawn, ax=drawn_on, label=f"rise of the {explanation.loss}")
    drawn_on.set_title(name, fontsize=10)
    drawn_on.set_axis_off()
    return _png(figure)


def pictures(explanation: Explanation) -> dict[str, bytes]:
    """All that fit, by the name of the file they are kept as."""
    found = {"importance.png": ranking(explanation)}
    for one in explanation.inputs:
        if picture(one.shape) and not one.kept:
            found[f"importance-{_file(one.name)}.png"] = map_of(explanation, one.name)
    return found


def _file(name: str) -> str:
    return "".join(c if c.isalnum() or c in "._-" else "_" for c in name)[:80]


def _png(figure: Figure) -> bytes:
    """The same bytes for the same picture: no program's version."""
    target = io.BytesIO()
    figure.savefig(target, format="png", metadata={"Software": None})
    return target.getvalue()
