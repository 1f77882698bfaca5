"""What one window of live traffic counted against a reference, and what that says. Pure but for the counting."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from services.monitor.drift.bounds import Budget, dkw, log_subsets, radius, share_evidence
from services.monitor.drift.effects import shares_of, total_variation
from services.monitor.drift.grid import POINTS, Grid
from services.monitor.drift.groups import Groups
from services.monitor.sketches.layout import Layout

QUALITIES = ("missing", "infinite", "out_of_range", "new_categories")


@dataclass(frozen=True, eq=False)
class TensorReference:
    """The reference of one tensor."""

    layout: Layout
    rows: int
    grid: Grid
    groups: tuple[Groups, ...]  # one a feature of categories

    @property
    def features(self) -> tuple[str, ...]:
        """Names, numbers first: the order of all arrays over features."""
        return self.layout.features


class Tally:
    """Counts of one tensor in one window."""

    def __init__(self, reference: TensorReference) -> None:
        self.reference = reference
        numbers = len(reference.layout.numbers)
        self.bins = np.zeros((numbers, POINTS + 1), np.int64)
        self.odd = np.zeros((2, numbers), np.int64)  # missing, infinite
        self.groups = [np.zeros(groups.size, np.int64) for groups in reference.groups]
        self.fresh = np.zeros(len(reference.groups), np.int64)
        self.empty = np.zeros(len(reference.groups), np.int64)

    def add(self, columns: np.ndarray, categories: Mapping[str, Mapping[str, int]]) -> None:
        """Counts float32 (features, rows), and counts of categories by feature."""
        self.bins += self.reference.grid.count(columns)
        self.odd += np.stack([np.isnan(columns).sum(axis=1), np.isinf(columns).sum(axis=1)])
        for index, (name, groups) in enumerate(
            zip(self.reference.layout.categories, self.reference.groups, strict=True)
        ):
            counted = categories.get(name, {})
            self.groups[index] += groups.count(counted)
            self.fresh[index] += groups.fresh(counted)
            self.empty[index] += counted.get("", 0)

    def dump(self) -> dict[str, np.ndarray]:
        """For a snapshot."""
        groups = np.concatenate([*self.groups, np.zeros(0, np.int64)])
        return {"bins": self.bins, "odd": self.odd, "groups": groups, "fresh": self.fresh, "empty": self.empty}

    @classmethod
    def load(cls, reference: TensorReference, arrays: Mapping[str, np.ndarray]) -> Tally:
        """What was dumped; raises ValueError when it was dumped for another reference."""
        made = cls(reference)
        wanted = made.dump()
        if any(arrays[name].shape != array.shape for name, array in wanted.items()):
            raise ValueError(f"counts of {reference.layout.tensor} do not fit its reference")
        made.bins, made.odd = arrays["bins"].copy(), arrays["odd"].copy()
        made.fresh, made.empty = arrays["fresh"].copy(), arrays["empty"].copy()
        ends = np.cumsum([groups.size for groups in reference.groups])[:-1]
        made.groups = [part.copy() for part in np.split(arrays["groups"], ends)] if reference.groups else []
        return made


@dataclass(frozen=True, eq=False)
class Distances:
    """A distance a feature, what it has to exceed, and on how many rows it stands."""

    ks: np.ndarray
    threshold: np.ndarray
    rows: np.ndarray

    @property
    def crossed(self) -> np.ndarray:
        """Which features have moved."""
        return self.ks > self.threshold


@dataclass(frozen=True, eq=False)
class Oddities:
    """Counts (4, features) in the order of QUALITIES, of `rows` (features,), and which are above their limit."""

    hits: np.ndarray
    rows: np.ndarray
    crossed: np.ndarray


def distances(tally: Tally, budget: Budget, minimum: float) -> Distances:
    """How far each feature is from the reference; `minimum` is the least distance that matters."""
    grid = tally.reference.grid
    rows = tally.bins.sum(axis=1)
    live = radius(rows, budget.log_live - math.log(POINTS))
    numbers = (grid.distances(tally.bins), live + dkw(grid.rows, budget.log_reference), rows)
    parts = [_of_groups(g, c, budget) for g, c in zip(tally.reference.groups, tally.groups, strict=True)]
    ks, limit, seen = (np.append(a, [part[i] for part in parts]) for i, a in enumerate(numbers))
    return Distances(ks, np.maximum(limit, minimum), seen.astype(np.int64))


def _of_groups(groups: Groups, counts: np.ndarray, budget: Budget) -> tuple[float, float, int]:
    """Total variation is the largest difference over all subsets: the bounds hold for each of them."""
    subsets, rows = log_subsets(groups.size), int(counts.sum())
    distance = total_variation(shares_of(groups.counts), shares_of(counts)) if rows else 0.0
    live = radius(np.array(rows), budget.log_live - subsets)
    return distance, float(live + dkw(np.array(groups.rows), budget.log_reference - subsets)), rows


def oddities(tally: Tally, budget: Budget, share: float) -> Oddities:
    """Odd values of each feature. They are too many when the share is above that of the reference by `share`."""
    numbers, categories = len(tally.bins), len(tally.groups)
    filled = np.zeros(categories, np.int64)
    hits = np.stack(
        [
            np.append(tally.odd[0], tally.empty),
            np.append(tally.odd[1], filled),
            np.append(tally.reference.grid.outside(tally.bins), filled),
            np.append(np.zeros(numbers, np.int64), tally.fresh),
        ]
    )
    seen = np.array([counts.sum() for counts in tally.groups], np.int64)
    rows = np.append(tally.bins.sum(axis=1) + tally.odd[0], seen)
    limits = _limits(tally.reference, budget, share)
    crossed = hits > limits * rows  # without that there is no evidence
    many = np.broadcast_to(rows, hits.shape)[crossed]
    evidence = share_evidence(hits[crossed], many, limits[crossed])
    crossed[crossed] = evidence >= math.log(len(QUALITIES)) - budget.log_live
    return Oddities(hits, rows, crossed)


def _limits(reference: TensorReference, budget: Budget, share: float) -> np.ndarray:
    """The shares (4, features) that are no alarm yet.

    What may be missing or infinite is what the reference has, with the error of its size, and `share` more. A share p
    outside of the range of n rows happens with a probability below 2 exp(-n p / 2): a smaller reference makes a larger
    p. The share of categories that none of n rows had is estimated by that of those which one had.
    """
    grid, rows = reference.grid, max(reference.rows, 1)
    slack = float(dkw(np.array(rows), budget.log_reference))
    there = np.stack([grid.missing, grid.infinite]) / rows
    known = np.where(there > 0, there + slack, 0.0) + share
    unseen = max(share, 2 * (math.log(4) - budget.log_reference) / rows)
    numbers = np.vstack([known, np.full((2, len(grid.rows)), unseen)])
    blank = [g.shares.get("", 0.0) for g in reference.groups]
    categories = np.full((4, len(blank)), unseen)
    categories[0] = [b + slack + share if b else share for b in blank]
    categories[3] = [max(unseen, g.singles / rows + slack if g.singles else 0.0) for g in reference.groups]
    return np.minimum(np.hstack([numbers, categories]), 0.99)
