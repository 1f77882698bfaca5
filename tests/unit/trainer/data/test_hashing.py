"""Rows are the same row by their values, however they are kept."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.trainer.data.columns import Array
from services.trainer.data.hashing import mix, row_hashes, text_hash


def one(array: Array) -> int:
    return int(row_hashes({"x": array})[0])


def texts(*values: str | bytes) -> Array:
    found = np.empty(len(values), object)
    found[:] = values
    return found


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "int64", "uint64", "float16", "float32", "float64"])
def test_a_whole_number_is_the_same_at_every_width(dtype: str) -> None:
    assert one(np.array([5], dtype)) == one(np.array([5], "int32")) != one(np.array([6], dtype))


@given(st.floats(width=32))
def test_what_float32_holds_is_the_same_in_float64(value: float) -> None:
    assert one(np.array([value], "float32")) == one(np.array([value], "float64"))


@given(st.floats(-1e30, 1e30).filter(lambda value: value != round(value)))
def test_a_number_that_was_stored_narrower_is_the_same_row(value: float) -> None:
    assert one(np.array([value], "float64")) == one(np.array([value], "float32"))


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (np.array([0.0]), np.array([-0.0])),
        (np.array([np.nan]), np.array([-np.nan], "float32")),
        (np.array([np.nan]), np.array([0x7FF0000000000001], "uint64").view("float64")),
        (np.array([True]), np.array([1.0])),
        (texts("grün"), texts("grün".encode())),
        (texts("a"), np.array(["a"], "U9")),
        (np.arange(784, dtype="uint8").reshape(1, 28, 28, 1), np.arange(784, dtype="uint8").reshape(1, 784)),
        (np.array(["2026-01-02"], "datetime64[D]"), np.array(["2026-01-02T00:00:00"], "datetime64[ns]")),
    ],
)
def test_the_same_value_is_the_same_row(left: Array, right: Array) -> None:
    assert one(left) == one(right)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (np.array([5]), texts("5")),
        (np.array([2**53 - 1]), np.array([2**53 - 2])),
        (np.array([0]), np.array([0], "datetime64[us]")),
        (texts(""), texts(" ")),
        (np.array([1.0]), np.array([-1.0])),
        (np.array([[1, 2]]), np.array([[2, 1]])),
        (np.array([0.1]), np.array([0.1], "float16")),
        (np.array([np.inf]), np.array([np.nan])),
    ],
)
def test_another_value_is_another_row(left: Array, right: Array) -> None:
    assert one(left) != one(right)


def test_the_order_of_columns_does_not_count_but_their_names_do() -> None:
    a, b = np.arange(10), np.arange(10, 20)
    assert (row_hashes({"a": a, "b": b}) == row_hashes({"b": b, "a": a})).all()
    assert (row_hashes({"a": a, "b": b}) != row_hashes({"a": b, "b": a})).all()


@given(st.integers(1, 7), st.integers(1, 40))
def test_a_row_hashes_the_same_in_any_batch(step: int, count: int) -> None:
    batch = {"x": np.random.default_rng(count).normal(size=(count, 3)), "t": texts(*map(str, range(count)))}
    parts = [row_hashes({name: array[i : i + step] for name, array in batch.items()}) for i in range(0, count, step)]
    assert (np.concatenate(parts) == row_hashes(batch)).all()


def test_rows_wider_than_a_chunk_hash_as_others(monkeypatch: pytest.MonkeyPatch) -> None:
    batch = {"x": np.random.default_rng(0).integers(0, 255, (50, 30), np.uint8)}
    whole = row_hashes(batch)
    monkeypatch.setattr("services.trainer.data.hashing.CHUNK_VALUES", 7)
    assert (row_hashes(batch) == whole).all()


def test_pictures_that_differ_in_one_bit_differ() -> None:
    base = np.zeros((784, 784), np.uint8)
    base[np.arange(784), np.arange(784)] = 1
    assert len(np.unique(row_hashes({"image": base}))) == 784


def test_small_numbers_in_several_columns_do_not_collide() -> None:
    a, b, c = (axis.ravel() for axis in np.mgrid[0:40, 0:40, 0:40])
    assert len(np.unique(row_hashes({"a": a, "b": b, "c": c}))) == 40**3
    assert len(np.unique(row_hashes({"v": np.stack([a, b, c], axis=1)}))) == 40**3


def test_every_bit_of_a_hash_is_a_fair_coin() -> None:
    hashes = row_hashes({"x": np.arange(20_000)})
    shares = [float(((hashes >> np.uint64(bit)) & np.uint64(1)).mean()) for bit in range(64)]
    assert max(abs(share - 0.5) for share in shares) < 5 * 0.5 / 20_000**0.5


def test_the_values_never_change() -> None:
    """Versions record splits by their parameters: other hashes would put test rows into the training of the next."""
    batch = {"n": np.array([0, 7, -3]), "f": np.array([0.1, np.nan, 1e9]), "t": texts("a", "", "ü")}
    assert [f"{value:016x}" for value in row_hashes(batch)] == RECORDED
    assert [int(value) for value in mix(np.array([1], np.uint64))] == [0x5692161D100B05E5]
    assert int(text_hash("bmase")) == int(text_hash(b"bmase"))


RECORDED = ["c8cfdd21e8bfe3a2", "e324c0780ea2e2a7", "70d19212702f45a8"]


def test_no_rows_have_no_hashes() -> None:
    assert row_hashes({"x": np.empty((0, 3)), "t": texts()}).shape == (0,)
