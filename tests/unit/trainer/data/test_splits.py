"""Splits: stable, fair, and without a leak between parts, files, formats and versions of the data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bmase.reasons import Reason
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from services.kit.errors import DomainError, InvalidArgument
from services.trainer.data import PARTS, Part, Splits, discover, part, read
from services.trainer.data.columns import Array

fractions = st.tuples(st.integers(0, 100), st.integers(0, 100)).filter(lambda pair: sum(pair) <= 100)


def splits(test: float, validation: float, salt: str = "", key: tuple[str, ...] = ()) -> Splits:
    return Splits(train=max(0.0, 1 - test - validation), validation=validation, test=test, salt=salt, key=key)


def rows(count: int, seed: int = 0) -> dict[str, Array]:
    generator = np.random.default_rng(seed)
    return {"a": generator.normal(size=count), "b": generator.integers(0, 10**9, count)}


@given(fractions, st.text(max_size=8), st.integers(0, 2**32 - 1))
@settings(max_examples=40, deadline=None)
def test_each_part_gets_its_share(shares: tuple[int, int], salt: str, seed: int) -> None:
    made = splits(shares[0] / 100, shares[1] / 100, salt)
    found = np.bincount(made.assign(rows(5000, seed)), minlength=3)
    for count, share in zip(found, (made.test, made.validation, made.train), strict=True):
        # Bernstein's inequality, so for a fair split a failure has a probability below 1e-9 however small the share.
        variance = 5000 * share * (1 - share)
        assert abs(count - 5000 * share) <= (2 * 21.5 * variance) ** 0.5 + 21.5 / 1.5 * (variance > 0)


@given(fractions, st.permutations(range(200)), st.booleans())
@settings(max_examples=40, deadline=None)
def test_a_row_stays_where_it_is_in_any_company(shares: tuple[int, int], order: list[int], narrow: bool) -> None:
    made, batch = splits(shares[0] / 100, shares[1] / 100), rows(200)
    alone = made.assign(batch)
    moved = {name: array[order] for name, array in reversed(batch.items())}
    if narrow:
        moved["a"] = moved["a"].astype(np.float32)
    more = {name: np.concatenate([rows(50, 9)[name], array]) for name, array in moved.items()}
    assert (made.assign(more)[50:] == alone[order]).all()


@given(st.integers(0, 100), st.integers(0, 100), st.integers(0, 100))
@settings(max_examples=60, deadline=None)
def test_a_larger_test_share_takes_and_never_gives_back(one: int, other: int, validation: int) -> None:
    small, large = sorted((one, other))
    batch = rows(300)
    kept = small / 100, min(validation, 100 - small) / 100
    grown = large / 100, min(validation, 100 - large) / 100
    before, after = splits(*kept).assign(batch) == 0, splits(*grown).assign(batch) == 0
    assert not (before & ~after).any()


@given(st.lists(st.tuples(st.integers(0, 5), st.floats(allow_nan=True)), min_size=1, max_size=60))
def test_rows_of_one_user_never_part(pairs: list[tuple[int, float]]) -> None:
    users, values = np.array([user for user, _ in pairs]), np.array([value for _, value in pairs])
    found = splits(0.3, 0.3, key=("user",)).assign({"user": users, "value": values})
    assert all(len(set(found[users == user])) == 1 for user in set(users.tolist()))


@given(st.lists(st.lists(st.tuples(st.integers(0, 4), st.sampled_from("abc")), max_size=20), max_size=5), st.data())
def test_duplicates_never_part_whatever_their_files_hold_them_as(
    files: list[list[tuple[int, str]]], data: st.DataObject
) -> None:
    made = splits(0.3, 0.3)
    where: dict[tuple[int, str], int] = {}
    for pairs in files:
        dtype = data.draw(st.sampled_from(["int8", "uint16", "int64", "float32", "float64"]))
        batch = {"n": np.array([n for n, _ in pairs], dtype), "t": np.array([t for _, t in pairs], object)}
        for pair, found in zip(pairs, made.assign(batch), strict=True):
            assert where.setdefault(pair, found) == found


def test_another_salt_is_an_independent_split() -> None:
    batch = rows(6000)
    one, other = (splits(0.3, 0.3, salt).assign(batch) for salt in ("", "second"))
    table = np.histogram2d(one, other, bins=3)[0]
    expected = table.sum(1, keepdims=True) * table.sum(0) / table.sum()
    # Chi-squared with four degrees of freedom; beyond 33 with a probability of 1e-6.
    assert ((table - expected) ** 2 / expected).sum() < 33
    assert (one != other).any()


def test_all_or_nothing() -> None:
    batch = rows(1000)
    assert set(splits(0, 0).assign(batch)) == {PARTS.index(Part.TRAIN)}
    assert set(splits(1, 0).assign(batch)) == {PARTS.index(Part.TEST)}
    assert set(splits(0, 1).assign(batch)) == {PARTS.index(Part.VALIDATION)}


@pytest.mark.parametrize("shares", [(0.5, 0.4, 0.2), (-0.1, 0.6, 0.5), (0.5, 0.5, float("nan"))])
def test_shares_must_make_a_whole(shares: tuple[float, float, float]) -> None:
    with pytest.raises(ValidationError):
        Splits(train=shares[0], validation=shares[1], test=shares[2])


def test_a_split_survives_being_recorded() -> None:
    made = Splits(train=0.7, validation=0.2, test=0.1, salt="s", key=("user",))
    assert Splits.model_validate_json(made.model_dump_json()) == made


def lines(folder: Path, name: str, numbers: range) -> None:
    folder.mkdir(exist_ok=True)
    body = "".join(f"{number % 97},{number * 0.1},word {number}\n" for number in numbers)
    (folder / name).write_text(f"user,score,text\n{body}")


def contents(folder: Path, made: Splits, name: Part) -> set[str]:
    return {text for batch in part(discover(str(folder)), made, name, ["text"]) for text in batch["text"]}


def test_nothing_leaks_between_versions_and_files(tmp_path: Path) -> None:
    lines(tmp_path / "v1", "all.csv", range(600))
    lines(tmp_path / "v2", "late.csv", range(300, 900))
    lines(tmp_path / "v2", "early.csv", range(301))
    made = splits(0.2, 0.2)
    for name in PARTS:
        before, after = contents(tmp_path / "v1", made, name), contents(tmp_path / "v2", made, name)
        assert before
        assert before == {text for text in after if int(text.split()[1]) < 600}
    parts = [contents(tmp_path / "v2", made, name) for name in PARTS]
    assert sum(map(len, parts)) == len(set().union(*parts)) == 900


def test_the_same_rows_as_npz_fall_as_they_do_as_csv(tmp_path: Path) -> None:
    lines(tmp_path / "csv", "all.csv", range(400))
    (batch,) = read(discover(str(tmp_path / "csv")), rows=400)
    (tmp_path / "npz").mkdir()
    narrow: dict[str, Any] = {"user": batch["user"].astype(np.uint8), "score": batch["score"].astype(np.float32)}
    np.savez(tmp_path / "npz" / "all.npz", **narrow, text=batch["text"].astype(str))
    made = splits(0.2, 0.2)
    for name in PARTS:
        assert contents(tmp_path / "csv", made, name) == contents(tmp_path / "npz", made, name)


def test_parts_come_in_full_batches_with_the_columns_that_were_asked_for(tmp_path: Path) -> None:
    lines(tmp_path / "csv", "all.csv", range(500))
    batches = list(part(discover(str(tmp_path / "csv")), splits(0.2, 0.2), Part.TRAIN, ["score"], rows=64))
    assert {len(batch["score"]) for batch in batches[:-1]} == {64}
    assert all(set(batch) == {"score"} for batch in batches)


def test_a_key_that_is_no_column_is_named(tmp_path: Path) -> None:
    lines(tmp_path / "csv", "all.csv", range(5))
    with pytest.raises(InvalidArgument, match=r"splits\.key: patient is none of the columns score, text, user"):
        part(discover(str(tmp_path / "csv")), splits(0.2, 0.2, key=("patient",)), Part.TRAIN)
    with pytest.raises(DomainError) as caught:
        splits(0.2, 0.2, key=("patient",)).assign(rows(3))
    assert caught.value.reason is Reason.INVALID_FIELD
