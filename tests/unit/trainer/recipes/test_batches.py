"""Which rows a step takes."""

from __future__ import annotations

import numpy as np
import pytest

from services.kit.errors import InvalidArgument
from services.trainer.recipes.batches import plan, share


def test_an_epoch_takes_each_row_once_and_the_next_in_another_order() -> None:
    found = plan(12, 4, 2, seed=1, workers=1)
    first, second = found.of_epoch(0), found.of_epoch(1)
    assert first.shape == (3, 4)
    assert sorted(first.ravel()) == sorted(second.ravel()) == list(range(12))
    assert (first != second).any()


def test_rows_of_a_step_are_the_same_again_and_others_with_another_seed() -> None:
    one = plan(100, 8, 1, seed=1, workers=1).of_epoch(0)
    assert (one == plan(100, 8, 1, seed=1, workers=2).of_epoch(0)).all()
    assert (one != plan(100, 8, 1, seed=2, workers=1).of_epoch(0)).any()


def test_workers_share_a_batch_without_overlap() -> None:
    rows = plan(30, 7, 1, seed=0, workers=3).of_epoch(0)[0]
    shares = [share(rows, rank, 3) for rank in range(3)]
    assert sorted(np.concatenate(shares)) == sorted(rows)
    assert {len(each) for each in shares} == {2, 3}


def test_what_is_left_over_is_skipped_and_not_always_the_same_row() -> None:
    found = plan(10, 4, 20, seed=0, workers=1)
    assert found.steps == 40
    left_out = {row for epoch in range(20) for row in set(range(10)) - set(found.of_epoch(epoch).ravel().tolist())}
    assert len(left_out) > 2


def test_rows_of_similar_length_share_a_batch() -> None:
    lengths = np.random.default_rng(0).integers(1, 100, 400)
    mixed, sorted_ = plan(400, 8, 1, 0, 1).of_epoch(0), plan(400, 8, 1, 0, 1, lengths=lengths).of_epoch(0)
    assert sorted(sorted_.ravel()) == sorted(mixed.ravel())
    assert np.ptp(lengths[sorted_], axis=1).mean() < np.ptp(lengths[mixed], axis=1).mean() / 4
    assert (np.diff(lengths[sorted_].mean(1)) < 0).any()  # batches themselves are in no order


def test_fewer_rows_than_a_batch_are_one_batch() -> None:
    assert plan(3, 8, 1, 0, 1).of_epoch(0).shape == (1, 3)


@pytest.mark.parametrize(("rows", "workers", "words"), [(0, 1, "no row is left"), (1, 2, "fewer than the 2 workers")])
def test_too_few_rows_are_refused(rows: int, workers: int, words: str) -> None:
    with pytest.raises(InvalidArgument, match=words):
        plan(rows, 8, 1, 0, workers)
