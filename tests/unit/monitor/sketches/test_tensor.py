"""Sketches of a tensor: what they remember, and what they do not."""

from __future__ import annotations

import numpy as np
import pytest

from services.monitor.sketches import CategorySketch, Layout, NumberSketches, Role, TensorSketch
from services.monitor.sketches.tensor import BUFFERED, Counts

RANKS = (0.0, 0.1, 0.5, 0.9, 1.0)


def sketched(rows: np.ndarray, role: Role = Role.INPUT) -> TensorSketch:
    sketch = TensorSketch(Layout.of(role, "x", rows))
    sketch.add(rows)
    sketch.flush()
    return sketch


def test_quantiles_are_those_of_the_data() -> None:
    rows = np.random.default_rng(1).normal(size=(50_000, 3)).astype(np.float32) + np.array([0, 10, 20], np.float32)
    sketch = sketched(rows)
    for feature in range(3):
        found = sketch.number(feature).quantiles(0, RANKS)
        ranks = [(rows[:, feature] <= value).mean() for value in found]
        np.testing.assert_allclose(ranks, RANKS, atol=0.02)


def test_it_is_the_same_however_the_rows_come() -> None:
    rows = np.random.default_rng(2).normal(size=(BUFFERED + 44, 2)).astype(np.float32)
    at_once, singly = sketched(rows), TensorSketch(Layout.of(Role.INPUT, "x", rows))
    for row in rows:
        singly.add(row[None])
    singly.flush()
    assert singly.rows == at_once.rows == len(rows)
    for sketch in (at_once, singly):
        assert sketch.windows[-1].numbers.counts().tolist() == [len(rows), len(rows)]
        assert sketch.number(1).quantiles(0, (0.0, 1.0)) == [rows[:, 1].min(), rows[:, 1].max()]


def test_nan_and_infinity_are_counted_and_left_out() -> None:
    rows = np.array([[1.0, np.nan], [np.inf, 2.0], [3.0, -np.inf], [np.nan, 4.0]], np.float32)
    numbers = sketched(rows).windows[-1].numbers
    assert numbers.missing.tolist() == [1, 1]
    assert numbers.infinite.tolist() == [1, 1]
    assert numbers.counts().tolist() == [2, 2]
    assert numbers.quantiles(0, (0.0, 1.0)) == [1.0, 3.0]


def test_rows_that_do_not_fit_are_only_counted() -> None:
    sketch = sketched(np.zeros((5, 3), np.float32))
    sketch.add(np.zeros((4, 2), np.float32))
    sketch.flush()
    assert (sketch.rows, sketch.windows[-1].misfits) == (5, 4)


def test_windows_are_bounded_and_the_oldest_is_forgotten() -> None:
    sketch = TensorSketch(Layout.of(Role.INPUT, "x", np.zeros((1, 1))), windows=2)
    for value in (1.0, 2.0, 3.0):
        sketch.add(np.full((10, 1), value))
        sketch.roll()
    sketch.add(np.full((10, 1), 4.0))
    sketch.flush()
    assert sketch.number(0).quantiles(0, (0.0, 1.0)) == [3.0, 4.0]


def test_the_tap_sees_what_is_sketched() -> None:
    seen: list[tuple[np.ndarray, Counts]] = []
    rows = np.array([[0.1, 0.9], [0.8, 0.2], [0.3, 0.7]], np.float32)
    layout = Layout.of(Role.OUTPUT, "p", rows)
    sketch = TensorSketch(layout, tap=lambda columns, counts: seen.append((columns.copy(), counts)))
    sketch.add(rows)
    assert seen == []
    sketch.flush()
    assert seen[0][0].tolist() == rows.T.tolist()
    assert seen[0][1] == {"output/p.label": {"1": 2, "0": 1}}


def test_flushing_nothing_is_nothing() -> None:
    seen: list[np.ndarray] = []
    sketch = TensorSketch(Layout.of(Role.INPUT, "x", np.zeros((1, 2))), tap=lambda columns, _: seen.append(columns))
    sketch.flush()
    sketch.add(np.zeros((0, 2)))
    sketch.flush()
    assert (sketch.rows, seen) == (0, [])


def test_strings_are_counted() -> None:
    sketch = sketched(np.array([[b"a"], [b"b"], [b"a"]], object))
    assert sketch.category("input/x") == {"a": 2, "b": 1}


def test_numbers_merge_as_if_seen_together() -> None:
    rng = np.random.default_rng(3)
    a, b = NumberSketches(1), NumberSketches(1)
    a.update(rng.uniform(0, 1, (1, 20_000)).astype(np.float32))
    b.update(rng.uniform(1, 2, (1, 20_000)).astype(np.float32))
    a.merge(b)
    assert a.counts().tolist() == [40_000]
    assert a.quantiles(0, (0.5,))[0] == pytest.approx(1.0, abs=0.06)


def test_the_distribution_function_counts_what_is_equal() -> None:
    numbers = NumberSketches(1)
    numbers.update(np.array([[0, 0, 0, 1, 2]], np.float32))
    assert numbers.cdf(0, np.array([0.0, 1.0, 2.0])).tolist() == pytest.approx([0.6, 0.8, 1.0])
    assert NumberSketches(1).cdf(0, np.array([0.0])).tolist() == [0.0]
    assert NumberSketches(1).quantiles(0, RANKS) == []


def test_a_dump_is_the_same_sketch() -> None:
    numbers = NumberSketches(2)
    numbers.update(np.random.default_rng(4).normal(size=(2, 9_000)).astype(np.float32))
    numbers.update(np.array([[np.nan], [np.inf]], np.float32))
    again = NumberSketches.load(numbers.dump())
    assert again.quantiles(1, RANKS) == numbers.quantiles(1, RANKS)
    assert (again.missing.tolist(), again.infinite.tolist()) == ([1, 0], [0, 1])


def test_categories_merge_and_are_dumped() -> None:
    a, b = CategorySketch(), CategorySketch()
    a.update({"x": 5, "y": 1})
    b.update({"x": 2, "ü": 9})
    a.merge(b)
    assert CategorySketch.load(a.dump()).counts() == {"ü": 9, "x": 7, "y": 1}


def test_many_categories_take_bounded_memory_and_keep_the_frequent() -> None:
    sketch = CategorySketch()
    for index in range(50_000):
        sketch.update({f"rare-{index}": 1, "often": 1})
    counts = sketch.counts()
    assert next(iter(counts)) == "often"
    assert counts["often"] == pytest.approx(50_000, rel=0.01)
    assert len(sketch.dump()) < 40_000
    assert sketch.total == 100_000


def test_an_array_without_a_dimension_of_rows_is_one_row() -> None:
    sketch = sketched(np.zeros((5, 4, 3), np.float32))
    sketch.add(np.ones((4, 3), np.float32))
    sketch.flush()
    assert (sketch.rows, sketch.windows[-1].misfits) == (6, 0)


def test_counting_is_ahead_of_sketching_and_counts_nothing_twice() -> None:
    seen: list[tuple[int, Counts]] = []
    rows = np.array([[0.1, 0.9], [0.8, 0.2], [0.3, 0.7]], np.float32)
    sketch = TensorSketch(
        Layout.of(Role.OUTPUT, "p", rows), tap=lambda columns, counts: seen.append((columns.shape[1], counts))
    )
    sketch.add(rows[:2])
    sketch.count()
    sketch.count()
    assert (sketch.rows, sketch.windows[-1].numbers.counts().tolist()) == (2, [0, 0])
    sketch.add(rows[2:])
    sketch.flush()
    assert (sketch.rows, sketch.windows[-1].numbers.counts().tolist()) == (3, [3, 3])
    assert seen == [(2, {"output/p.label": {"1": 1, "0": 1}}), (1, {"output/p.label": {"1": 1}})]
    assert sketch.category("output/p.label") == {"1": 2, "0": 1}
