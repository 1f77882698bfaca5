"""A figure and how sure it is: the records that everything else here is made of."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

from services.kit.errors import InvalidArgument, Violation
from services.trainer.evaluation.documents import Document

ROUNDING = 1e-9


class Better(StrEnum):
    """Which way a metric improves."""

    HIGHER = "higher"
    LOWER = "lower"


@dataclass(frozen=True)
class Bounds(Document):
    """The two ends of a two-sided interval."""

    low: float
    high: float

    def within(self, smallest: float, largest: float) -> Bounds:
        """Cut off where the metric cannot be."""
        return Bounds(max(self.low, smallest), min(self.high, largest))

    @property
    def flat(self) -> bool:
        """Without width, but for rounding: the rows show no spread, which is not to be taken for certainty."""
        return math.isfinite(self.low) and self.high - self.low <= ROUNDING * max(1.0, abs(self.low))


@dataclass(frozen=True)
class Estimate(Document):
    """A metric of one version: its value on the rows, and the interval for other rows like these."""

    metric: str
    value: float
    low: float
    high: float
    level: float  # of the two-sided interval, for example 0.95
    rows: int  # documents for language, queries for ranking
    method: str
    better: Better


@dataclass(frozen=True)
class Difference(Document):
    """Candidate minus stable in one metric, on the very same rows."""

    metric: str
    value: float
    low: float
    high: float
    level: float
    rows: int
    method: str
    better: Better
    candidate: float
    stable: float
    p_value: float | None = None  # of "no difference", where there is an exact test


@dataclass(frozen=True)
class Setting(Document):
    """How an evaluation is made. The same setting on the same rows gives the same figures to the last bit."""

    level: float = 0.95  # of every two-sided interval
    resamples: int = 2000  # of the bootstrap
    seed: int = 0
    smallest: int = 30  # rows: on fewer, no slice is looked at and no gate is passed
    bins: int = 15  # of the calibration
    cuts: int = 5  # quantile bins of a numeric column that slices are made of

    def __post_init__(self) -> None:
        bounds = {
            "level": 0.5 <= self.level < 1,
            "resamples": 100 <= self.resamples <= 1_000_000,
            "seed": self.seed >= 0,
            "smallest": self.smallest >= 1,
            "bins": 2 <= self.bins <= 1000,
            "cuts": 2 <= self.cuts <= 100,
        }
        broken = [name for name, holds in bounds.items() if not holds]
        if broken:
            raise InvalidArgument([Violation(name, f"{getattr(self, name)} is out of its bounds") for name in broken])
