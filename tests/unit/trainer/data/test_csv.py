"""CSV: what its columns are, and where exactly it is wrong."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
from bmase.reasons import Reason
from hypothesis import given
from hypothesis import strategies as st

from services.kit.errors import DomainError
from services.trainer.data import discover, read
from services.trainer.data.columns import Batch
from services.trainer.data.formats import csvfile


def written(folder: Path, text: str | bytes, name: str = "data.csv") -> str:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return str(path)


def whole(uri: str) -> Batch:
    (batch,) = read(discover(uri))
    return batch


def types(uri: str) -> dict[str, str]:
    return {column.name: column.dtype for column in discover(uri).columns}


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        (["1", "-20", "0"], "int64"),
        (["999999999999999999"], "int64"),
        (["1", ""], "float64"),
        (["1", "nan"], "float64"),
        (["1.5", "-2e-3", ".5", "+4", "5.", "INF"], "float64"),
        (["007", "1"], "text"),
        (["1000000000000000000"], "text"),
        (["1_000"], "text"),
        (["٣"], "text"),
        ([" 1"], "text"),
        (["1", "none"], "text"),
        (['"1\n2"', "3"], "text"),
    ],
)
def test_a_column_is_what_all_its_values_are(tmp_path: Path, values: list[str], dtype: str) -> None:
    rows = "".join(f"{value},x\n" for value in values)
    assert types(written(tmp_path, f"a,b\n{rows}"))["a"] == dtype


def test_one_late_value_decides(tmp_path: Path) -> None:
    uri = written(tmp_path, "a,b\n" + "1,2\n" * 9000 + "1,2.5\n")
    assert types(uri) == {"a": "int64", "b": "float64"}
    batches = list(read(discover(uri), rows=4000))
    assert [len(batch["a"]) for batch in batches] == [4000, 4000, 1001]
    assert {batch["b"].dtype.name for batch in batches} == {"float64"}


def test_values_come_out_as_they_went_in(tmp_path: Path) -> None:
    batch = whole(written(tmp_path, '\ufeffid,x,t\r\n7,0.1,"a, ""b""\nc"\r\n\r\n-8,,ü\r\n'))
    assert batch["id"].tolist() == [7, -8]
    np.testing.assert_array_equal(batch["x"], [0.1, np.nan])
    assert batch["t"].tolist() == ['a, "b"\nc', "ü"]


@given(st.lists(st.floats(), min_size=1, max_size=30))
def test_every_float_that_python_writes_is_read_exactly(
    tmp_path_factory: pytest.TempPathFactory, numbers: list[float]
) -> None:
    text = "x\n" + "".join(f"{number!r}\n" for number in numbers)
    batch = whole(written(tmp_path_factory.mktemp("csv"), text))
    np.testing.assert_array_equal(batch["x"].astype(np.float64), np.array(numbers))


def test_gzipped_is_the_same(tmp_path: Path) -> None:
    uri = written(tmp_path, gzip.compress(b"a,b\n1,x\n2,y\n"), "data.csv.gz")
    assert whole(uri)["b"].tolist() == ["x", "y"]


@pytest.mark.parametrize(
    ("text", "line", "why"),
    [
        ("a,b\n1,2\n3\n", 3, "has 1 values where the first line names 2 columns"),
        ('a,b\n"1\n1",2\n3,4,5\n', 4, "has 3 values"),
        ('a,b\n1,"x"y\n', 2, "expected after"),
        ('a,b\n1,"x\n', 2, "unexpected end of data"),
        ("", 0, "is empty"),
        ("1,2\n3,4\n", 1, "holds numbers only"),
        ("a,a\n1,2\n", 1, "two columns have the name a"),
        ("a,\n1,2\n", 1, "has no name"),
        ("a;b\n1;2\n", 1, "not separated by commas"),
        (b"a,b\n1,2\n3,\xff\n", 0, "is not UTF-8"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(tmp_path: Path, text: str | bytes, line: int, why: str) -> None:
    with pytest.raises(DomainError, match=why) as caught:
        discover(written(tmp_path, text))
    assert caught.value.reason is Reason.INVALID_DATA
    assert "data.csv" in caught.value.message
    if line:
        assert f", line {line}:" in caught.value.message
        assert caught.value.metadata["line"] == str(line)


def test_a_damaged_gzip_stream_is_said(tmp_path: Path) -> None:
    packed = gzip.compress(b"a,b\n" + b"1,2\n" * 5000)
    with pytest.raises(DomainError, match="gzip stream is damaged"):
        discover(written(tmp_path, packed[:-20], "data.csv.gz"))


def test_long_rows_are_not_gathered_by_thousands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csvfile, "BLOCK_CHARACTERS", 1000)
    uri = written(tmp_path, "a\n" + f"{'x' * 400}\n" * 20)
    records = ([text] for text in ["x" * 400] * 20)
    assert max(map(len, csvfile._blocks(records, 4096))) == 3
    assert [len(batch["a"]) for batch in read(discover(uri), rows=8)] == [8, 8, 4]


def test_a_file_without_line_ends_is_not_taken_into_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csvfile, "MAX_LINE", 1000)
    with pytest.raises(DomainError, match="line 2: is longer than 1000 characters"):
        discover(written(tmp_path, "a\n" + "x" * 5000))
