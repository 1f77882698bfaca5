"""What two versions answer, side by side: live against live, by their sketches, over the windows that are kept.

`drifted` holds however often one looks during those windows. It is for reading: no alarm is raised by it.
"""

from __future__ import annotations

import numpy as np
from bmase.monitor.v1 import monitor_pb2 as pb

from services.monitor.drift.bounds import Budget, log_subsets, radius
from services.monitor.drift.effects import jensen_shannon, psi, shares_of, total_variation
from services.monitor.drift.grid import RANKS, STEPS
from services.monitor.drift.groups import Groups
from services.monitor.drift.reports import first, shares
from services.monitor.drift.settings import DriftSettings
from services.monitor.drift.tensor import LiveTensor
from services.monitor.drift.version import LiveVersion
from services.monitor.sketches import NumberSketches, Role


def compare_outputs(stable: LiveVersion, candidate: LiveVersion, settings: DriftSettings) -> list[pb.FeatureDrift]:
    """Each output that both have; `reference_*` are the stable version's. Those that differ most come first."""
    pairs = [
        (live, candidate.tensors[key])
        for key, live in stable.tensors.items()
        if key[0] is Role.OUTPUT and key in candidate.tensors
    ]
    budget = Budget(settings.alpha, max(1, sum(len(a.layout.features) for a, _ in pairs)), 1)
    found = [made for a, b in pairs for made in _tensor(a, b, budget, settings.minimum_effect)]
    return sorted(found, key=lambda made: (not made.drifted, -made.ks, made.feature))


def _tensor(a: LiveTensor, b: LiveTensor, budget: Budget, minimum: float) -> list[pb.FeatureDrift]:
    for live in (a, b):
        live.sketch.flush()
    places = {name: index for index, name in enumerate(b.layout.numbers)}
    numbers = [
        _number(name, a.sketch.number(index), b.sketch.number(places[name]), budget, minimum)
        for index, name in enumerate(a.layout.numbers)
        if name in places
    ]
    both = [name for name in a.layout.categories if name in b.layout.categories]
    return numbers + [
        _category(name, a.sketch.category(name), b.sketch.category(name), budget, minimum) for name in both
    ]


def _number(name: str, a: NumberSketches, b: NumberSketches, budget: Budget, minimum: float) -> pb.FeatureDrift:
    """Compared at 40 quantiles of the stable version; the errors of both sketches are added to what is allowed."""
    rows = np.array([a.sketches[0].n, b.sketches[0].n])
    made = pb.FeatureDrift(feature=name, rows=int(rows.min()), threshold=1.0)
    if rows.min() == 0:
        return made
    ranks = [step / STEPS for step in range(1, STEPS + 1)]
    points = np.unique(np.array(a.quantiles(0, ranks), np.float32))
    before, now = a.cdf(0, points), b.cdf(0, points)
    allowed = radius(rows, budget.log_live - np.log(len(points))).sum() + a.rank_error + b.rank_error
    made.ks, made.threshold = float(np.abs(before - now).max()), float(min(1.0, max(minimum, allowed)))
    made.drifted = made.ks > made.threshold
    tenths = np.unique(np.array(a.quantiles(0, RANKS[1:-1]), np.float32))
    bins = [np.diff(sketch.cdf(0, tenths), prepend=0.0, append=1.0) for sketch in (a, b)]
    made.psi, made.js = psi(bins[0] * rows[0], bins[1] * rows[1]), jensen_shannon(*bins)
    made.reference_quantiles.extend(a.quantiles(0, RANKS))
    made.live_quantiles.extend(b.quantiles(0, RANKS))
    return made


def _category(name: str, a: dict[str, int], b: dict[str, int], budget: Budget, minimum: float) -> pb.FeatureDrift:
    groups = Groups.of(a)
    counts = (groups.counts, groups.count(b))
    rows = np.array([counted.sum() for counted in counts])
    made = pb.FeatureDrift(feature=name, rows=int(rows.min()), threshold=1.0)
    if rows.min() == 0:
        return made
    before, now = shares_of(counts[0]), shares_of(counts[1])
    allowed = radius(rows, budget.log_live - log_subsets(groups.size)).sum()
    made.ks, made.threshold = total_variation(before, now), float(min(1.0, max(minimum, allowed)))
    made.drifted = made.ks > made.threshold
    made.psi, made.js = psi(*counts), jensen_shannon(before, now)
    made.reference_shares.update(first(shares(a)))
    made.live_shares.update(first(shares(b)))
    return made
