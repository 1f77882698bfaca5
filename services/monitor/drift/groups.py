"""Categories counted in at most 16 groups, between which the test for drift compares.

Up to 15 categories in the reference are a group each, and all others are the last one. More are spread over 16 groups
by their checksum, which does not depend on the data: what moves between categories moves between groups.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

GROUPS = 16
KEPT = 768  # categories whose counts are exact


@dataclass(frozen=True, eq=False)
class Groups:
    """The reference of one feature of categories. `complete`: all of its categories are known, so new ones can be."""

    shares: Mapping[str, float]  # of the categories kept, most frequent first
    rows: int
    complete: bool
    counts: np.ndarray  # int64 (groups,)
    singles: int = 0  # categories seen once: their share estimates that of all categories not seen (Good and Turing)

    @classmethod
    def of(cls, counted: Mapping[str, int]) -> Groups:
        """The groups of exact counts."""
        rows, complete = sum(counted.values()), len(counted) <= KEPT
        ordered = sorted(counted.items(), key=lambda item: (-item[1], item[0]))[:KEPT]
        singles = sum(n == 1 for n in counted.values())
        made = cls({name: n / max(rows, 1) for name, n in ordered}, rows, complete, np.zeros(0, np.int64), singles)
        return replace(made, counts=made.count(counted))

    @property
    def singly(self) -> bool:
        """Whether each category is a group."""
        return self.complete and len(self.shares) < GROUPS

    @property
    def size(self) -> int:
        """How many groups there are."""
        return len(self.shares) + 1 if self.singly else GROUPS

    def count(self, counted: Mapping[str, int]) -> np.ndarray:
        """Counts of categories as counts of groups, int64 (groups,)."""
        made = np.zeros(self.size, np.int64)
        places = {name: place for place, name in enumerate(self.shares)} if self.singly else {}
        for name, n in counted.items():
            made[places.get(name, self.size - 1) if self.singly else zlib.crc32(name.encode()) % GROUPS] += n
        return made

    def fresh(self, counted: Mapping[str, int]) -> int:
        """Values of categories that the reference does not have; 0 when it has more than can be known."""
        return sum(n for name, n in counted.items() if name not in self.shares) if self.complete else 0

    def dump(self) -> dict[str, Any]:
        """For a file."""
        made = {"shares": dict(self.shares), "rows": self.rows, "complete": self.complete, "singles": self.singles}
        return made | {"counts": self.counts.tolist()}

    @classmethod
    def load(cls, item: Mapping[str, Any]) -> Groups:
        """What was dumped."""
        return cls(item["shares"], item["rows"], item["complete"], np.array(item["counts"], np.int64), item["singles"])
