"""What the monitor compares live traffic with, taken from the rows on their way through the training.

    tap = ReferenceTap({"image": "input:image", "score": "output:probability"})
    for batch in tap.watch(batches): ...
    request = tap.request()          what `bmase.references` sends; its receiver keeps sketches only

A sample of fixed size, each row with the same chance, the same one for the same stream.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import numpy as np
from bmase import references
from bmase.monitor.v1 import monitor_pb2 as pb

from services.kit.errors import InvalidArgument, Violation
from services.trainer.data.columns import Array, Batch, length
from services.trainer.data.hashing import Hashes, mix

MAX_ROWS = 20_000
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_ORDER = "\0order"
_CHANCE = "\0chance"


class ReferenceTap:
    """Samples rows of a stream without changing it. `names`: from column to `input:NAME` or `output:NAME`."""

    def __init__(self, names: Mapping[str, str], most_bytes: int = references.MOST_BYTES) -> None:
        self._names = dict(names)
        self._most_bytes = most_bytes
        self._rows = 0
        self._most_rows = MAX_ROWS
        self._held: list[Batch] = []
        self._count = 0
        self._bar = np.uint64(2**64 - 1)

    def watch(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        """The batches as they are."""
        for batch in batches:
            self.add(batch)
            yield batch

    def add(self, batch: Batch) -> None:
        """Takes the rows with the lowest of fixed, pseudo-random numbers; the rest is not copied."""
        if absent := sorted(self._names.keys() - batch.keys()):
            raise InvalidArgument(
                [Violation("names", f"{absent[0]} is none of the columns {', '.join(sorted(batch))}")]
            )
        order = np.arange(self._rows, self._rows + length(batch), dtype=np.uint64)
        self._rows += len(order)
        chance = mix((order + np.uint64(1)) * _GOLDEN)
        lucky = chance <= self._bar
        taken: dict[str, Array] = {name: batch[name][lucky] for name in self._names}
        self._held.append({**taken, _ORDER: order[lucky], _CHANCE: chance[lucky]})
        self._count += int(lucky.sum())
        if self._count > 2 * self._most_rows:
            self._prune()

    def request(self) -> pb.PutReferenceRequest:
        """The sample in the stream's order, without a version's name; the SDK's InvalidArgument if there was no row."""
        self._prune()
        kept = self._held[0] if self._held else {}
        arrays = {self._names[name]: kept[name] for name in self._names if name in kept}
        return references.from_arrays(arrays, "the sampled rows", self._most_bytes)

    def _prune(self) -> None:
        """Down to as many rows as fit, by count and by bytes as they are sent."""
        if not self._held:
            return
        whole = {name: np.concatenate([batch[name] for batch in self._held]) for name in self._held[0]}
        self._most_rows = min(self._most_rows, _fitting(whole, self._names, self._most_bytes))
        kept = _lowest(whole[_CHANCE], self._most_rows)
        self._held = [{name: array[kept] for name, array in whole.items()}]
        self._count = len(kept)
        if self._count == self._most_rows:
            self._bar = self._held[0][_CHANCE].max()


def _lowest(chances: Hashes, count: int) -> Array:
    """Places of the lowest, in rising order of place."""
    if len(chances) <= count:
        return np.arange(len(chances))
    return np.sort(np.argpartition(chances, count - 1)[:count])


def _fitting(batch: Batch, names: Iterable[str], most_bytes: int) -> int:
    """How many rows like these fit into so many bytes; at least one."""
    rows = length(batch)
    return max(1, rows * most_bytes // max(1, sum(_sent_bytes(batch[name]) for name in names)))


def _sent_bytes(array: Array) -> int:
    """What the Open Inference Protocol makes of it: texts have a length of 4 bytes before them."""
    if array.dtype.kind != "O":
        return array.nbytes
    return sum(4 + len(item if isinstance(item, bytes) else item.encode()) for item in array.ravel())
