"""Reports in the words of the contract. Pure but for reading the sketches."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from bmase.monitor.v1 import monitor_pb2 as pb

from services.monitor.drift.bounds import Budget
from services.monitor.drift.effects import jensen_shannon, psi, shares_of
from services.monitor.drift.grid import RANKS
from services.monitor.drift.settings import DriftSettings
from services.monitor.drift.tally import QUALITIES, Distances, Tally, distances, oddities
from services.monitor.drift.tensor import LiveTensor, Tested
from services.monitor.drift.version import LiveVersion

SHARES_SHOWN = 20
NAMED = 3  # features in a sentence


@dataclass(frozen=True)
class _Row:
    """One feature of a report before it is written out."""

    live: LiveTensor
    tested: Tested
    index: int
    ks: float
    threshold: float
    rows: int

    @property
    def drifted(self) -> bool:
        return bool(self.tested.drift.found[self.index])

    @property
    def name(self) -> str:
        return self.live.layout.features[self.index]


def drift_report(name: str, version: LiveVersion | None, settings: DriftSettings, limit: int) -> pb.DriftReport:
    """What is known of a version's live traffic; at most `limit` features, those that moved most first."""
    report = pb.DriftReport(name=name, alpha=settings.alpha)
    if version is None:
        report.summary = "No traffic of this version has been looked at yet."
        return report
    report.has_reference = version.reference is not None
    report.rows = max([version.rows, *(_shown_rows(live) for live in version.tensors.values())])
    if version.window_start is not None:
        report.window_start.FromNanoseconds(int(version.window_start * 1e9))
    rows = sorted(_rows(version, settings), key=lambda row: (not row.drifted, -row.ks, row.name))
    report.features.extend(_feature(row) for row in rows[:limit])
    if not version.reference:
        report.features.extend(_unreferenced(version, limit))
    report.quality.extend(_qualities(version, settings, limit))
    report.features_total = len(rows) or version.features
    report.features_drifted = sum(row.drifted for row in rows)
    report.summary = _summary(report, rows, version)
    return report


def _shown_rows(live: LiveTensor) -> int:
    return int(live.tested.shown().bins.sum(axis=1).max(initial=0)) if live.tested else 0


def _rows(version: LiveVersion, settings: DriftSettings) -> Iterator[_Row]:
    for live in version.tensors.values():
        tested = live.tested
        if tested is not None:
            found = _of_shown(tested, version.budget, settings)
            for index, (ks, threshold, rows) in enumerate(zip(found.ks, found.threshold, found.rows, strict=True)):
                yield _Row(live, tested, index, float(ks), float(threshold), int(rows))


def _of_shown(tested: Tested, budget: Budget, settings: DriftSettings) -> Distances:
    """The last window is judged by what was spent on it."""
    tally = tested.shown()
    spent = budget if tally is tested.tally else Budget(budget.alpha, budget.features, max(1, budget.window - 1))
    return distances(tally, spent, settings.minimum_effect)


def _feature(row: _Row) -> pb.FeatureDrift:
    rows = int(row.tested.drift.rows[row.index]) if row.drifted else row.rows
    made = pb.FeatureDrift(feature=row.name, drifted=row.drifted, ks=row.ks, threshold=row.threshold, rows=rows)
    numbers, tally = len(row.live.layout.numbers), row.tested.shown()
    if row.index < numbers:
        _describe_number(made, row.live, row.tested, tally, row.index)
    else:
        at = row.index - numbers
        groups = row.tested.reference.groups[at]
        made.psi = psi(groups.counts, tally.groups[at])
        made.js = jensen_shannon(shares_of(groups.counts), shares_of(tally.groups[at])) if row.rows else 0.0
        made.reference_shares.update(first(groups.shares))
        made.live_shares.update(first(shares(row.live.sketch.category(row.name))))
    return made


def _describe_number(made: pb.FeatureDrift, live: LiveTensor, tested: Tested, tally: Tally, index: int) -> None:
    grid = tested.reference.grid
    before, now = grid.deciles(index, tally.bins)
    if now.sum():
        made.psi, made.js = psi(before, now), jensen_shannon(shares_of(before), shares_of(now))
    made.reference_quantiles.extend(value for value in grid.quantiles[index].tolist() if math.isfinite(value))
    made.live_quantiles.extend(live.sketch.number(index).quantiles(0, RANKS))


def _unreferenced(version: LiveVersion, limit: int) -> Iterator[pb.FeatureDrift]:
    """What is seen of features that cannot be compared with anything: as many as fit."""
    left = limit
    for live in version.tensors.values():
        for index, name in enumerate(live.layout.features[:left]):
            made = pb.FeatureDrift(feature=name, rows=live.sketch.rows)
            if index < len(live.layout.numbers):
                made.live_quantiles.extend(live.sketch.number(index).quantiles(0, RANKS))
            else:
                made.live_shares.update(first(shares(live.sketch.category(name))))
            yield made
        left -= min(left, len(live.layout.features))


def _qualities(version: LiveVersion, settings: DriftSettings, limit: int) -> list[pb.Quality]:
    """Features with odd values in the window that is shown, the worst first."""
    found: list[pb.Quality] = []
    for live in version.tensors.values():
        misfits = sum(window.misfits for window in live.sketch.windows)
        if misfits:
            rows = misfits + sum(window.rows for window in live.sketch.windows)
            found.append(pb.Quality(feature=live.layout.tensor, rows=rows, missing=misfits))
        if live.tested is not None:
            odd = oddities(live.tested.shown(), version.budget, settings.quality_share)
            for index in np.flatnonzero(odd.hits.any(axis=0)).tolist():
                hits = dict(zip(QUALITIES, odd.hits[:, index].tolist(), strict=True))
                found.append(pb.Quality(feature=live.layout.features[index], rows=int(odd.rows[index]), **hits))
    return sorted(found, key=lambda q: (-_worst(q), q.feature))[:limit]


def _worst(quality: pb.Quality) -> float:
    return max(getattr(quality, name) for name in QUALITIES) / max(quality.rows, 1)


def _summary(report: pb.DriftReport, rows: Sequence[_Row], version: LiveVersion) -> str:
    if not report.has_reference:
        return f"{version.rows} rows seen; there is no reference to compare them with (PutReference)."
    since = datetime.fromtimestamp(version.window_start or 0, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    seen = f"{report.rows} rows; the present window began {since}"
    if not report.features_drifted:
        return f"None of {report.features_total} features moved ({seen})."
    moved = [f"{row.name} (distance {row.ks:.2f}, {row.threshold:.2f} allowed)" for row in rows if row.drifted]
    more = f" and {len(moved) - NAMED} more" if len(moved) > NAMED else ""
    return f"{len(moved)} of {report.features_total} features moved: {', '.join(moved[:NAMED])}{more} ({seen})."


def shares(counted: Mapping[str, int]) -> dict[str, float]:
    """Counts as shares."""
    total = sum(counted.values())
    return {name: n / total for name, n in counted.items()} if total else {}


def first(found: Mapping[str, float]) -> dict[str, float]:
    """As many shares as a report shows."""
    return dict(list(found.items())[:SHARES_SHOWN])
