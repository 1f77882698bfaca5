"""Pictures of releases and drift. Needs matplotlib: `pip install "bmase[plots]"`."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

from bmase.errors import NotConfigured
from bmase.monitor.v1.evidence_pb2 import Suspicion

WIDTH, DPI = 9.0, 120
STABLE, CANDIDATE, LIMIT = "#4878a8", "#d0743c", "#b03030"
KINDS = {number: name.removeprefix("KIND_").lower() for name, number in Suspicion.Kind.items() if number}


def release(events: Sequence[Any]) -> bytes:
    """PNG: the candidate's traffic and the evidence against it over time, from the events of a release."""
    figure, (traffic, against) = _axes(2)
    seconds = [_seconds(event.time) - _seconds(events[0].time) for event in events]
    traffic.step(seconds, [event.percent for event in events], where="post", color=CANDIDATE)
    traffic.fill_between(seconds, [event.percent for event in events], step="post", alpha=0.2, color=CANDIDATE)
    traffic.set_ylabel("traffic, %")
    traffic.set_ylim(0, 105)
    for kind, name in KINDS.items():
        points = [
            (second, one.evidence, one.limit)
            for second, event in zip(seconds, events, strict=True)
            for one in event.evidence.suspicions
            if one.kind == kind
        ]
        if points:
            against.plot([p[0] for p in points], [max(p[1], 1e-3) for p in points], marker="o", ms=3, label=name)
            against.axhline(points[-1][2], color=LIMIT, lw=0.8, ls="--")
    against.set_yscale("log")
    against.set_ylabel("evidence (e-value)")
    against.set_xlabel("seconds since the start")
    if against.get_legend_handles_labels()[0]:
        against.legend(frameon=False)
    return _png(figure)


def drift(report: Any) -> bytes:
    """PNG: how far each feature moved, and from which distance on it counts."""
    features = list(reversed(report.features[:20]))
    figure, (axes,) = _axes(1, 1.2 + 0.28 * max(len(features), 3))
    colours = [CANDIDATE if one.drifted else STABLE for one in features]
    axes.barh([one.feature for one in features], [one.ks for one in features], color=colours)
    axes.plot([one.threshold for one in features], [one.feature for one in features], "|", color=LIMIT, ms=12)
    axes.set_xlabel("Kolmogorov-Smirnov distance to the reference (mark: what it has to exceed)")
    axes.set_xlim(0, 1)
    return _png(figure)


def distributions(feature: Any) -> bytes:
    """PNG: quantiles (or shares) of one feature, reference against live."""
    figure, (axes,) = _axes(1)
    if feature.reference_shares or feature.live_shares:
        names = sorted({*feature.reference_shares, *feature.live_shares})
        places = range(len(names))
        axes.bar([p - 0.2 for p in places], [feature.reference_shares.get(n, 0) for n in names], 0.4, color=STABLE)
        axes.bar([p + 0.2 for p in places], [feature.live_shares.get(n, 0) for n in names], 0.4, color=CANDIDATE)
        axes.set_xticks(list(places), names)
        axes.set_ylabel("share")
    else:
        steps = [i / max(len(feature.reference_quantiles) - 1, 1) for i in range(len(feature.reference_quantiles))]
        axes.plot(feature.reference_quantiles, steps, color=STABLE, label="reference")
        axes.plot(feature.live_quantiles, steps[: len(feature.live_quantiles)], color=CANDIDATE, label="live")
        axes.set_ylabel("share of values below")
        axes.legend(frameon=False)
    axes.set_xlabel(feature.feature)
    return _png(figure)


def _axes(count: int, height: float = 0.0) -> Any:
    try:
        from matplotlib.figure import Figure  # noqa: PLC0415
    except ImportError:
        raise NotConfigured("pictures need matplotlib", hint='pip install "bmase[plots]"') from None
    figure = Figure(figsize=(WIDTH, height or 2.6 * count), dpi=DPI, layout="constrained")
    axes = figure.subplots(count, 1, sharex=count > 1, squeeze=False)[:, 0]
    for one in axes:
        one.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _png(figure: Any) -> bytes:
    target = io.BytesIO()
    figure.savefig(target, format="png")
    return target.getvalue()


def _seconds(stamp: Any) -> float:
    return float(stamp.seconds + stamp.nanos / 1e9)
