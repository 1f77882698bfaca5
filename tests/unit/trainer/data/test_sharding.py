"""Shards: every row once, all workers in step, one order for every number of workers and every size of a batch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.kit.errors import InvalidArgument
from services.trainer.data import Manifest, Part, Splits, discover, part, shard
from services.trainer.data.columns import Batch, length
from services.trainer.data.sharding import dealt, shuffled

ROWS = 5000
WORKERS = st.integers(1, 7)


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    """Five files of a thousand rows that know their number."""
    folder = tmp_path_factory.mktemp("rows")
    for start in range(0, ROWS, 1000):
        number = np.arange(start, start + 1000)
        np.savez(folder / f"{start}.npz", number=number, text=number.astype("U"))
    return discover(str(folder))


def batches(count: int, size: int) -> Iterator[Batch]:
    """`count` numbered rows."""
    yield from ({"x": np.arange(start, min(start + size, count))} for start in range(0, count, size))


def numbers(found: Iterator[Batch]) -> list[int]:
    return [int(x) for batch in found for x in batch["x"]]


def shards(manifest: Manifest, workers: int, **how: Any) -> list[list[Batch]]:
    splits = Splits(train=0.6, validation=0.2, test=0.2, key=("number",))
    return [list(shard(manifest, splits, "train", rank=r, world_size=workers, **how)) for r in range(workers)]


def interleaved(of_workers: Sequence[Sequence[int]]) -> list[int]:
    return [number for turn in zip(*of_workers, strict=True) for number in turn]


@given(st.integers(0, 60), st.integers(1, 20), WORKERS)
def test_workers_get_every_row_and_as_many_rows_each(count: int, size: int, workers: int) -> None:
    found = [numbers(dealt(batches(count, size), rank, workers)) for rank in range(workers)]
    expected = -(-count // workers)
    assert [len(rows) for rows in found] == [expected] * workers
    # In turn they give the order of the data, and then its beginning once more until the round is full.
    assert interleaved(found) == [k % count for k in range(expected * workers)]


@given(st.integers(0, 80), st.integers(1, 30), st.integers(1, 30), st.integers(2, 100), st.integers(0, 2**63))
def test_a_buffer_keeps_every_row_and_knows_no_batches(count: int, one: int, two: int, buffer: int, seed: int) -> None:
    found = numbers(shuffled(batches(count, one), buffer, seed, 0))
    assert sorted(found) == list(range(count))
    assert found == numbers(shuffled(batches(count, two), buffer, seed, 0))


@given(st.integers(2, 80), st.integers(2, 100), st.integers(0, 2**64))
def test_no_row_comes_before_it_was_read(count: int, buffer: int, seed: int) -> None:
    found = numbers(shuffled(batches(count, 7), buffer, seed, 0))
    assert all(number < place + buffer for place, number in enumerate(found))


@given(st.integers(1, 60), st.integers(0, 50), st.integers(0, 2**31))
def test_a_buffer_as_large_as_the_data_is_like_any_larger_one(count: int, more: int, seed: int) -> None:
    whole = numbers(shuffled(batches(count, 9), max(2, count), seed, 3))
    assert whole == numbers(shuffled(batches(count, 9), count + more + 2, seed, 3))


def test_a_full_buffer_gives_every_order_the_same_chance() -> None:
    orders: dict[tuple[int, ...], int] = {}
    for seed in range(6000):
        found = tuple(numbers(shuffled(batches(3, 3), 3, seed, 0)))
        orders[found] = orders.get(found, 0) + 1
    assert len(orders) == 6
    # Chi square with 5 degrees of freedom: above 31 with a probability of 1e-5, and the seeds are always the same.
    assert sum((seen - 1000) ** 2 / 1000 for seen in orders.values()) < 31


def test_the_order_is_this_one_on_every_machine_for_ever() -> None:
    assert numbers(shuffled(batches(10, 4), 10, 42, 1)) == [1, 2, 8, 5, 3, 9, 6, 0, 4, 7]
    assert numbers(shuffled(batches(10, 4), 4, 42, 1)) == [1, 2, 0, 4, 6, 3, 5, 9, 8, 7]


def test_seed_and_epoch_each_make_another_order() -> None:
    found = {tuple(numbers(shuffled(batches(50, 8), 50, seed, epoch))) for seed in range(3) for epoch in range(3)}
    assert len(found) == 9


@pytest.mark.parametrize("shuffle", [0, 100, ROWS])
@pytest.mark.parametrize("workers", [1, 2, 3])
def test_all_workers_have_the_same_batches_and_together_the_part(
    manifest: Manifest, workers: int, shuffle: int
) -> None:
    found = shards(manifest, workers, batch=64, shuffle=shuffle, seed=1, epoch=2)
    assert len({tuple(length(batch) for batch in batches) for batches in found}) == 1
    rows = [[int(x) for batch in batches for x in batch["number"]] for batches in found]
    expected = np.concatenate([b["number"] for b in part(manifest, _splits(), Part.TRAIN, ["number"])])
    order = interleaved(rows)
    assert sorted(order[: len(expected)]) == sorted(expected.tolist())
    assert order[len(expected) :] == order[: len(order) - len(expected)]
    assert len(order) - len(expected) < workers
    assert (order[: len(expected)] == expected.tolist()) is (shuffle == 0)


def _splits() -> Splits:
    return Splits(train=0.6, validation=0.2, test=0.2, key=("number",))


@given(WORKERS, st.integers(1, 700), st.sampled_from([0, 2, 333, 10_000]))
@settings(max_examples=12, deadline=None)
def test_the_order_is_the_same_for_any_workers_and_batches(
    manifest: Manifest, workers: int, batch: int, shuffle: int
) -> None:
    alone = [x for b in shards(manifest, 1, shuffle=shuffle, seed=5)[0] for x in b["number"].tolist()]
    many = shards(manifest, workers, batch=batch, shuffle=shuffle, seed=5)
    order = interleaved([[x for b in batches for x in b["number"].tolist()] for batches in many])
    assert order[: len(alone)] == alone
    assert all(length(b) == batch for batches in many for b in batches[:-1])


def test_columns_stay_together_and_arrays_are_whole(manifest: Manifest) -> None:
    for batch in shard(manifest, _splits(), "train", ["text", "number"], rank=1, world_size=3, shuffle=500, seed=2):
        assert batch["number"].astype("U").tolist() == batch["text"].tolist()
        assert batch["number"].flags.c_contiguous
        assert batch["number"].flags.writeable


def test_all_is_every_row_whatever_the_splits(manifest: Manifest) -> None:
    found = [x for b in shard(manifest, _splits(), "all", ["number"], world_size=1) for x in b["number"].tolist()]
    assert sorted(found) == list(range(ROWS))


def test_fewer_rows_than_workers_still_feed_all(tmp_path: Path) -> None:
    np.savez(tmp_path / "two.npz", number=np.arange(2))
    manifest = discover(str(tmp_path))
    found = [list(shard(manifest, Splits(), "all", rank=rank, world_size=5)) for rank in range(5)]
    assert [[int(x) for b in of for x in b["number"]] for of in found] == [[0], [1], [0], [1], [0]]


def test_an_empty_part_feeds_nobody(manifest: Manifest) -> None:
    nothing = Splits(train=1, validation=0, test=0)
    assert all(list(shard(manifest, nothing, "test", rank=rank, world_size=2)) == [] for rank in range(2))


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"part": "exam"}, "part"),
        ({"rank": 2, "world_size": 2}, "rank"),
        ({"rank": -1}, "rank"),
        ({"world_size": 0}, "world_size"),
        ({"batch": 0}, "batch"),
        ({"shuffle": -1}, "shuffle"),
        ({"columns": ["nothing"]}, "columns"),
    ],
)
def test_what_makes_no_sense_is_refused_at_once(manifest: Manifest, given: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        shard(manifest, Splits(), **{"part": "train", **given})
    assert field in {violation.field for violation in caught.value.violations}
