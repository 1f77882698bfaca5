"""Numbers counted between points of the reference: exact, mergeable, and all that the test for drift needs.

A feature's points are its least number (just below it) and every 2.5 % quantile of the reference, at most 41. Between
them the reference's and the live distribution functions are compared; what they do between two points is not seen,
which makes the distance too small by at most 2.5 %, never too large.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

STEPS = 40
POINTS = STEPS + 1
FEW = 20  # rows up to which comparing with every point is quicker than a search for each feature
RANKS = tuple(rank / 10 for rank in range(11))


@dataclass(frozen=True, eq=False)
class Grid:
    """The reference of a tensor's numbers: F features, P points, padded with infinity behind a feature's last one."""

    points: np.ndarray  # float32 (F, P), increasing
    cdf: np.ndarray  # float64 (F, P): share of the reference at or below each point
    last: np.ndarray  # int64 (F,): how many points are not padding
    rows: np.ndarray  # int64 (F,): numbers in the reference, infinite ones, too
    missing: np.ndarray  # int64 (F,)
    infinite: np.ndarray  # int64 (F,)
    quantiles: np.ndarray  # float32 (F, 11): 0, 10, ... 100 %

    @classmethod
    def of(cls, columns: np.ndarray) -> Grid:
        """The grid of float32 (features, rows)."""
        features = len(columns)
        ordered = np.sort(columns, axis=1)  # NaN comes last
        present = (~np.isnan(columns)).sum(axis=1)
        points, quantiles = np.full((features, POINTS), np.inf, np.float32), np.full((features, 11), np.nan, np.float32)
        cdf, last = np.ones((features, POINTS)), np.zeros(features, np.int64)
        for index in range(features):
            known = ordered[index, : present[index]]
            finite = known[np.isfinite(known)]
            if not finite.size:
                continue
            found = _points(finite)
            last[index] = len(found)
            points[index, : len(found)] = found
            cdf[index, : len(found)] = np.searchsorted(known, found, "right") / len(known)
            quantiles[index] = np.quantile(finite, RANKS, method="inverted_cdf")
        infinite = np.isinf(columns).sum(axis=1)
        return cls(points, cdf, last, present, columns.shape[1] - present, infinite, quantiles)

    def count(self, columns: np.ndarray) -> np.ndarray:
        """How many of float32 (features, rows) fall between the points: int64 (F, P + 1), without NaN."""
        features, bins = len(self.points), POINTS + 1
        if columns.shape[1] <= FEW:
            places = np.count_nonzero(self.points[:, None, :] < columns[:, :, None], axis=2)
        else:
            places = np.empty(columns.shape, np.int64)
            for points, column, place in zip(self.points, columns, places, strict=True):
                place[:] = points.searchsorted(column)
        places += np.arange(features)[:, None] * bins
        return np.bincount(places[~np.isnan(columns)], minlength=features * bins).reshape(features, bins)

    def distances(self, counts: np.ndarray) -> np.ndarray:
        """Kolmogorov-Smirnov distances over the points, (F,)."""
        below = np.cumsum(counts, axis=1)
        live = below[:, :-1] / np.maximum(below[:, -1:], 1)
        return np.abs(live - self.cdf).max(axis=1, initial=0.0) * (below[:, -1] > 0)

    def outside(self, counts: np.ndarray) -> np.ndarray:
        """How many lie outside the reference's range, (F,); none when the reference has no numbers."""
        index = np.arange(len(counts))
        return np.where(self.last > 0, counts[:, 0] + counts[index, self.last], 0)

    def deciles(self, feature: int, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Counts of the reference and of live numbers over the reference's deciles and outside of its range."""
        last = int(self.last[feature])
        upper = np.append(self.cdf[feature, :last], 1.0)
        mine = np.diff(upper, prepend=0.0) * self.rows[feature]
        group = np.clip(np.ceil(upper * 10 - 1e-9), 1, 10)
        group[0], group[-1] = 0, 11
        _, place = np.unique(group, return_inverse=True)
        live = counts[feature, : last + 1]
        return np.bincount(place, mine), np.bincount(place, live)

    def dump(self) -> dict[str, np.ndarray]:
        """For a file."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    @classmethod
    def load(cls, arrays: Mapping[str, np.ndarray]) -> Grid:
        """What was dumped."""
        return cls(**{name: arrays[name] for name in cls.__dataclass_fields__})


def _points(finite: np.ndarray) -> np.ndarray:
    """Just below the least of the sorted numbers, and the order statistics at every step."""
    at = np.ceil(np.arange(1, STEPS + 1) * finite.size / STEPS).astype(int) - 1
    return np.unique(np.append(finite[at], np.nextafter(finite[0], np.float32(-np.inf))))
