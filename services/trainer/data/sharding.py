"""A part's rows, dealt to the workers of one training, in an order of their own for each epoch.

All workers see one order, which the data, `seed`, `epoch` and `shuffle` alone decide: no machine, no number of workers
and no size of a batch changes it. Row k of it goes to worker k modulo the number of workers, so what the workers train
on at the same time are the next rows of that order, and any number of workers trains on the same.

Gradients are averaged in lockstep: a worker with a batch less would leave the others waiting for ever. So where the
rows do not come out even, the last round is filled with the epoch's first ones, as torch's DistributedSampler does:
every row is used, at most `world_size - 1` of them twice, and a part with any rows at all leaves no worker without.

Every worker reads everything, for a row's part is known only by what it holds; it keeps what is its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import numpy.typing as npt

from services.kit.errors import InvalidArgument, Violation
from services.trainer.data.columns import Batch, length
from services.trainer.data.manifest import Manifest
from services.trainer.data.reading import cut, joined, rebatched
from services.trainer.data.sources import Source
from services.trainer.data.splits import Part, Splits
from services.trainer.data.splits import part as rows_of

# Files are decoded faster in large pieces, so small batches are cut from reads of this much at most.
READ_ROWS, READ_BYTES = 1024, 64 * 1024 * 1024
_WORD = 2**64


def shard(
    manifest: Manifest,
    splits: Splits,
    part: str,
    columns: Sequence[str] | None = None,
    *,
    rank: int = 0,
    world_size: int = 1,
    batch: int = 1024,
    shuffle: int = 0,
    seed: int = 0,
    epoch: int = 0,
    source: Source | None = None,
) -> Iterator[Batch]:
    """Worker `rank`'s rows of "train", "validation", "test" or "all", in batches of `batch` rows, the last one shorter.

    All workers get batches of the same sizes. `shuffle`: rows pass a buffer of so many, which is held in memory; one
    as large as the part gives every order the same chance, 0 or 1 leaves the rows as they lie.
    Raises INVALID_FIELD at once; while reading what `read` raises.
    """
    _check(part, rank, world_size, batch, shuffle)
    rows = rows_of(manifest, splits, Part(part), columns, rows=max(batch, _at_once(manifest)), source=source)
    if shuffle > 1:
        rows = shuffled(rows, shuffle, seed, epoch)
    return rebatched(dealt(rows, rank, world_size), batch)


def dealt(batches: Iterable[Batch], rank: int, world_size: int) -> Iterator[Batch]:
    """Every `world_size`-th row from `rank` on; the last round is filled from the beginning. In batches of any size."""
    first: list[Batch] = []  # the rows that may fill the last round
    count = 0
    for batch in batches:
        if count < world_size - 1:
            first.append(cut(batch, 0, world_size - 1 - count))
        own = cut(batch, (rank - count) % world_size, None, world_size)
        yield {name: np.ascontiguousarray(array) for name, array in own.items()}
        count += length(batch)
    if 0 < count % world_size <= rank:
        again = (rank - count % world_size) % count
        yield cut(joined(first), again, again + 1)


def shuffled(batches: Iterable[Batch], buffer: int, seed: int, epoch: int) -> Iterator[Batch]:
    """The same rows through a buffer: when it is full, as many leave it by lot as come in."""
    lots = np.random.PCG64(np.random.SeedSequence([seed % _WORD, epoch % _WORD]))
    held: Batch = {}
    # Steps of half a buffer, whatever the batches were: their size must not decide the order.
    for incoming in rebatched(batches, max(1, buffer // 2)):
        leaving = length(held) + length(incoming) - buffer
        if leaving > 0:
            order = _order(lots, length(held))
            yield _taken(held, order[:leaving])
            held = _taken(held, order[leaving:])
        held = joined([held, incoming] if held else [incoming])
    if held:
        yield _taken(held, _order(lots, length(held)))


def _order(lots: np.random.PCG64, count: int) -> npt.NDArray[np.intp]:
    """A random order. By raw words and a stable sort: these numpy promises for ever, not what `permutation` gives."""
    return np.argsort(lots.random_raw(count), kind="stable")


def _taken(batch: Batch, places: npt.NDArray[np.intp]) -> Batch:
    return {name: array[places] for name, array in batch.items()}


def _at_once(manifest: Manifest) -> int:
    return min(READ_ROWS, READ_BYTES // max(1, sum(column.row_bytes for column in manifest.columns)))


def _check(part: str, rank: int, world_size: int, batch: int, shuffle: int) -> None:
    wrong = {
        ("part", f"is {part!r}, which is none of {', '.join(Part)}"): part not in set(Part),
        ("world_size", f"must be 1 or more, not {world_size}"): world_size < 1,
        ("rank", f"must be 0 to {world_size - 1}, not {rank}"): not 0 <= rank < max(1, world_size),
        ("batch", f"must be 1 or more, not {batch}"): batch < 1,
        ("shuffle", f"must be 0 or more, not {shuffle}"): shuffle < 0,
    }
    if violations := [Violation(*found) for found, holds in wrong.items() if holds]:
        raise InvalidArgument(violations)
