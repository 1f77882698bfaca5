"""Parquet: every type that is a column, missing values, and what is refused."""

from __future__ import annotations

import datetime
import decimal
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet as pq

from services.kit.errors import DomainError
from services.trainer.data import PARTS, Splits, discover, discovery, part, read


def written(folder: Path, name: str = "data", groups: int = 1000, **columns: Any) -> str:
    path = folder / f"{name}.parquet"
    pq.write_table(pa.table(columns), path, row_group_size=groups)
    return str(path)


@pytest.mark.parametrize(
    ("values", "dtype", "seen"),
    [
        (pa.array([1, 2], pa.int32()), "int32", [1, 2]),
        (pa.array([1, None], pa.int32()), "float64", [1.0, np.nan]),
        (pa.array([True, False]), "bool", [True, False]),
        (pa.array([True, None]), "float64", [1.0, np.nan]),
        (pa.array([0.5, None], pa.float32()), "float32", [0.5, np.nan]),
        (pa.array([decimal.Decimal("1.25"), None]), "float64", [1.25, np.nan]),
        (pa.array([None, None]), "float64", [np.nan, np.nan]),
        (pa.array(["a", None]), "text", ["a", ""]),
        (pa.array(["a", "b"]).dictionary_encode(), "text", ["a", "b"]),
        (pa.array([b"\xff", None]), "bytes", [b"\xff", b""]),
        (pa.array([[1.0, 2.0], [3.0, 4.0]]), "float64[2]", [[1.0, 2.0], [3.0, 4.0]]),
        (pa.array([[1, 2], [3, 4]], pa.list_(pa.int8(), 2)), "int8[2]", [[1, 2], [3, 4]]),
    ],
)
def test_a_column_is_read_as_what_it_is(tmp_path: Path, values: pa.Array, dtype: str, seen: list[Any]) -> None:
    manifest = discover(written(tmp_path, x=values))
    assert str(manifest.columns[0]) == dtype
    (batch,) = read(manifest)
    if dtype in {"text", "bytes"}:
        assert batch["x"].tolist() == seen
    else:
        np.testing.assert_array_equal(batch["x"], np.array(seen))
        assert batch["x"].flags.writeable


@pytest.mark.parametrize("zone", [None, "Europe/Berlin"])
def test_times_are_microseconds_in_utc(tmp_path: Path, zone: str | None) -> None:
    moment = datetime.datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=datetime.UTC if zone else None)
    uri = written(tmp_path, t=pa.array([moment, None], pa.timestamp("ns", zone)), d=pa.array([moment.date(), None]))
    (batch,) = read(discover(uri))
    assert batch["t"].dtype == batch["d"].dtype == np.dtype("datetime64[us]")
    assert batch["t"][0] == np.datetime64("2026-01-02T03:04:05.000006")
    assert np.isnat(batch["t"][1])


def test_batches_go_on_over_row_groups(tmp_path: Path) -> None:
    manifest = discover(written(tmp_path, groups=7, x=np.arange(50), y=[f"t{n}" for n in range(50)]))
    batches = list(read(manifest, ["y"], rows=20))
    assert [len(batch["y"]) for batch in batches] == [20, 20, 10]
    assert [text for batch in batches for text in batch["y"]] == [f"t{n}" for n in range(50)]


@pytest.mark.parametrize(
    ("values", "why"),
    [
        (pa.array([{"a": 1}]), "which is no column of numbers or text"),
        (pa.array([["a"]]), "which is no column of numbers or text"),
        (pa.array([[1], [1, 2]]), "lists of other lengths than 1"),
        (pa.array([[1], None]), "or missing ones"),
    ],
)
def test_what_is_no_column_is_said(tmp_path: Path, values: pa.Array, why: str) -> None:
    uri = written(tmp_path, x=values)
    with pytest.raises(DomainError, match=why):
        list(read(discover(uri)))


def test_two_columns_of_one_name_are_refused(tmp_path: Path) -> None:
    table = pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["x", "x"])
    pq.write_table(table, tmp_path / "data.parquet")
    with pytest.raises(DomainError, match=r"data\.parquet: has two columns of the same name"):
        discover(str(tmp_path))


def test_damage_is_said(tmp_path: Path) -> None:
    uri = Path(written(tmp_path, x=np.arange(1000)))
    uri.write_bytes(uri.read_bytes()[:-100])
    with pytest.raises(DomainError, match=r"data\.parquet: is no whole Parquet file"):
        discover(str(uri))


def test_whole_numbers_with_and_without_holes_fit_together(tmp_path: Path) -> None:
    written(tmp_path, "a", x=pa.array([1, 2]))
    written(tmp_path, "b", x=pa.array([3, None]))
    (batch,) = read(discover(str(tmp_path)))
    assert batch["x"].dtype == np.float64
    assert sorted(batch["x"][np.isfinite(batch["x"])].tolist()) == [1, 2, 3]


def test_rows_fall_as_they_do_as_csv(tmp_path: Path) -> None:
    for kind in ("csv", "parquet"):
        (tmp_path / kind).mkdir()
    rows = [(n, n * 0.1 if n % 5 else None, f"word {n}") for n in range(300)]
    body = "".join(f"{a},{'' if b is None else b},{c}\n" for a, b, c in rows)
    (tmp_path / "csv" / "x.csv").write_text(f"a,b,c\n{body}")
    a, b, c = zip(*rows, strict=True)
    written(tmp_path / "parquet", a=pa.array(a, pa.int16()), b=pa.array(b, pa.float32()), c=pa.array(c))
    manifests = [discover(str(tmp_path / kind)) for kind in ("csv", "parquet")]
    splits = Splits(train=0.6, validation=0.2, test=0.2)
    for name in PARTS:
        texts = [
            {text for batch in part(manifest, splits, name, ["c"]) for text in batch["c"]} for manifest in manifests
        ]
        assert texts[0] == texts[1] != set()


def test_a_row_group_as_large_as_the_file_is_not_taken_as_a_whole(tmp_path: Path) -> None:
    values = np.random.default_rng(0).random((40_000, 32))
    table = pa.table({"x": pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), 32)})
    pq.write_table(table, tmp_path / "x.parquet", row_group_size=len(values), compression="none", use_dictionary=False)
    manifest = discover(str(tmp_path))
    tracemalloc.start()
    try:
        assert sum(len(batch["x"]) for batch in read(manifest, rows=100)) == len(values)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < manifest.size / 2


def test_parts_without_rows_fit_to_all_others(tmp_path: Path) -> None:
    """Engines leave them; a list there has no length."""
    lists = pa.list_(pa.float32())
    for name, rows in (("a", []), ("b", [[1.0, 2.0]]), ("c", [])):
        written(tmp_path, name, x=pa.array(rows, lists))
    manifest = discover(str(tmp_path))
    assert str(manifest.columns[0]) == "float32[2]"
    (batch,) = read(manifest)
    assert batch["x"].tolist() == [[1.0, 2.0]]


def test_files_of_too_many_columns_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(discovery, "MAX_COLUMNS", 2)
    with pytest.raises(DomainError, match="has 3 columns; 1 to 2 are read"):
        discover(written(tmp_path, x=[1], y=[1], z=[1]))
