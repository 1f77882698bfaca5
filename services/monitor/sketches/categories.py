"""How often each category was seen, in bounded memory.

Misra-Gries with the purge of Anderson et al., "A high-performance algorithm for identifying frequent items in data
streams", IMC 2017, as implemented by Apache DataSketches: exact up to 768 categories, then short by at most
3.5/1024 of the total.
"""

from __future__ import annotations

from collections.abc import Mapping

from datasketches import frequent_items_error_type, frequent_strings_sketch

LOG2_SIZE = 10


class CategorySketch:
    """Counts of strings."""

    def __init__(self, sketch: frequent_strings_sketch | None = None) -> None:
        self._sketch = sketch or frequent_strings_sketch(LOG2_SIZE)

    @property
    def total(self) -> int:
        """Values seen."""
        return self._sketch.total_weight

    def update(self, counts: Mapping[str, int]) -> None:
        """Adds counts."""
        for category, count in counts.items():
            self._sketch.update(category, count)

    def merge(self, other: CategorySketch) -> None:
        """Adds what another has seen."""
        self._sketch.merge(other._sketch)

    def counts(self) -> dict[str, int]:
        """The categories kept, most frequent first; counts are never too low, and exact up to 768 categories."""
        rows = self._sketch.get_frequent_items(frequent_items_error_type.NO_FALSE_NEGATIVES)
        return {row[0]: row[1] for row in sorted(rows, key=lambda row: (-row[1], row[0]))}

    def dump(self) -> bytes:
        """For a snapshot."""
        return self._sketch.serialize()

    @classmethod
    def load(cls, data: bytes) -> CategorySketch:
        """What was dumped."""
        return cls(frequent_strings_sketch.deserialize(data))
