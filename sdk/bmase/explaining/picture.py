"""An explanation as a picture: regions over the image, or bars. Needs matplotlib: `pip install "bmase[plots]"`."""

from __future__ import annotations

import io
from typing import Any

import numpy as np

from bmase.core.tensors import Array
from bmase.errors import NotConfigured
from bmase.explaining.answer import Explained
from bmase.explaining.portable.players import picture
from bmase.plots import DPI

SIDE, BARS = 4.2, 20
COLOURS = "RdBu_r"  # red: speaks for the output, blue: against it
FOR, AGAINST = "#b2182b", "#2166ac"


def draw(explained: Explained) -> bytes:
    """PNG: each picture among the inputs, and what its regions add; without one, bars of the largest shares."""
    pictures = [name for name, value in explained.row.items() if picture(value.shape) and value.dtype.kind in "biuf"]
    figure = _figure(max(2 * len(pictures), 1))
    panels = figure.subplots(1, max(2 * len(pictures), 1), squeeze=False)[0]
    largest = max(float(np.abs(a).max(initial=0)) for a in explained.attributions.values()) or 1.0
    for place, name in enumerate(pictures):
        plain, over = panels[2 * place], panels[2 * place + 1]
        gray = _flat(explained.row[name].astype(np.float64), mean=True)
        plain.imshow(gray, cmap="gray")
        plain.set_title(name, fontsize=9)
        over.imshow(gray, cmap="gray", alpha=0.5)
        shares = _flat(explained.attributions[name].astype(np.float64), mean=False)
        drawn = over.imshow(shares, cmap=COLOURS, vmin=-largest, vmax=largest, alpha=0.75)
        over.set_title(f"{explained.base:.4g} → {explained.explained:.4g}", fontsize=9)
        figure.colorbar(drawn, ax=over, shrink=0.75, label="added by each pixel")
        for axes in (plain, over):
            axes.set_axis_off()
    if not pictures:
        _bars(panels[0], explained)
    what = f"{explained.output}[{explained.output_index}]" if explained.output else f"output {explained.output_index}"
    figure.suptitle(f"{explained.model} version {explained.version}: {what}", fontsize=10)
    target = io.BytesIO()
    figure.savefig(target, format="png", metadata={"Software": None})
    return target.getvalue()


def _bars(axes: Any, explained: Explained) -> None:
    shown = explained.shares[:BARS][::-1]
    names = [f"{one.name} = {one.value}" if one.value else one.name for one in shown]
    axes.barh(range(len(shown)), [one.share for one in shown], color=[FOR if o.share > 0 else AGAINST for o in shown])
    axes.set_yticks(range(len(shown)), names, fontsize=8)
    axes.axvline(0, color="black", lw=0.6)
    axes.set_xlabel(f"added to {explained.base:.4g}, which makes {explained.explained:.4g}")
    axes.spines[["top", "right"]].set_visible(False)


def _flat(values: Array, *, mean: bool) -> Array:
    """(height, width) of a picture's row: the channels' mean, or what they have together."""
    axes = picture(values.shape)
    assert axes is not None, "asked of pictures only"
    channels = tuple(axis for axis in range(values.ndim) if axis - values.ndim not in axes)
    return values.mean(axis=channels) if mean else values.sum(axis=channels)


def _figure(panels: int) -> Any:
    try:
        from matplotlib.figure import Figure  # noqa: PLC0415  an extra of the distribution
    except ImportError:
        raise NotConfigured("pictures need matplotlib", hint='pip install "bmase[plots]"') from None
    return Figure(figsize=(max(SIDE * panels, 6.5), SIDE), dpi=DPI, layout="constrained")
