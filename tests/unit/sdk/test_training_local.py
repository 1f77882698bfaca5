"""Training code without BMASE: files as columns, parts, shards, orders, and the command line."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bmase.training import LocalRun, Product, Run, local
from bmase.training.order import dealt, positions, shuffled
from bmase.training.progress import Lines
from bmase.training.tables import DataFileError, load


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    path = tmp_path / "rows.npz"
    np.savez(path, x=np.arange(103), word=np.array([f"w{n}" for n in range(103)]))
    return path


def values(run: Run, **asked: Any) -> list[int]:
    return [int(value) for batch in run.rows(columns=["x"], **asked) for value in batch["x"]]


def test_parts_are_all_rows_once(rows: Path) -> None:
    run = LocalRun({"data": rows})
    parts = {part: values(run, part=part) for part in ("train", "validation", "test")}
    assert sorted(value for part in parts.values() for value in part) == list(range(103))
    assert parts["test"] == list(range(0, 103, 10))
    assert parts["validation"] == list(range(1, 103, 10))
    assert list(run.table("test", ["x"])["x"]) == parts["test"]
    with pytest.raises(ValueError, match="no part 'dev'"):
        positions("dev", 3)


def test_workers_share_out_what_one_would_see(rows: Path) -> None:
    """A batch of 2 x 8 rows is the same rows as one of 16: two workers learn what one does."""
    one = [batch["x"] for batch in LocalRun({"data": rows}, seed=5).rows(batch=16, shuffle=1000, epoch=2)]
    two = [
        [
            batch["x"]
            for batch in LocalRun({"data": rows}, seed=5, rank=rank, world_size=2).rows(batch=8, shuffle=1000, epoch=2)
        ]
        for rank in range(2)
    ]
    assert len(two[0]) == len(two[1])
    for number, (left, right) in enumerate(zip(*two, strict=True)):
        assert len(left) == len(right)
        assert set(left) | set(right) <= {*one[number], one[0][0]}  # which fills the last round


@pytest.mark.parametrize("workers", [2, 3, 4, 50])
def test_where_rows_do_not_come_out_even_all_are_used_and_some_twice(rows: Path, workers: int) -> None:
    """As a job's workers get them: 83 rows, and the first ones again until all have as many."""
    whole = values(LocalRun({"data": rows}))
    found = [values(LocalRun({"data": rows}, rank=rank, world_size=workers)) for rank in range(workers)]
    assert {len(each) for each in found} == {-(-len(whole) // workers)}
    in_turn = [value for turn in zip(*found, strict=True) for value in turn]
    assert in_turn == (whole * 2)[: len(in_turn)]


def test_fewer_rows_than_workers_feed_all_and_none_feed_nobody() -> None:
    assert [dealt(np.array([7, 8]), rank, 5).tolist() for rank in range(5)] == [[7], [8], [7], [8], [7]]
    assert dealt(np.arange(0), 1, 2).tolist() == []


def test_order_is_decided_by_seed_and_epoch(rows: Path) -> None:
    orders = [
        values(LocalRun({"data": rows}, seed=seed), shuffle=1000, epoch=epoch) for seed in (0, 1) for epoch in (0, 1)
    ]
    assert orders[0] == values(LocalRun({"data": rows}, seed=0), shuffle=1000)
    assert len({tuple(order) for order in orders}) == 4
    assert len({frozenset(order) for order in orders}) == 1


def test_a_buffer_reaches_only_so_far() -> None:
    order = shuffled(np.arange(1000), 10, np.random.default_rng(0))
    assert sorted(order) == list(range(1000))
    assert all(value <= place + 10 for place, value in enumerate(order))
    assert list(order) != list(range(1000))


def test_source_says_what_is_there(rows: Path) -> None:
    run = LocalRun({"data": rows, "more": rows})
    assert [(column.name, column.dtype, column.shape) for column in run.source("more").columns] == [
        ("x", "int64", ()),
        ("word", "object", ()),
    ]
    assert run.files() == (rows,)
    with pytest.raises(KeyError, match="--data other=PATH"):
        run.source("other")
    with pytest.raises(DataFileError, match="no column y; there are: x, word"):
        next(run.rows(columns=["y"]))


def test_csv_keeps_what_is_text(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text('whole,number,code,word\n1,0.5,007,"a, b"\n-2,,010,c\n', "utf-8")
    found = load(path).columns
    assert found["whole"].tolist() == [1, -2]
    assert found["number"][0] == 0.5
    assert np.isnan(found["number"][1])
    assert found["code"].tolist() == ["007", "010"]
    assert found["word"].tolist() == ["a, b", "c"]


@pytest.mark.parametrize(
    ("content", "words"),
    [("", "is empty"), ("1,2\n3,4\n", "does not name the columns"), ("a,b\n1\n", "record 2 does not have the 2")],
)
def test_csv_that_is_damaged(tmp_path: Path, content: str, words: str) -> None:
    (tmp_path / "rows.csv").write_text(content, "utf-8")
    with pytest.raises(DataFileError, match=words):
        load(tmp_path / "rows.csv")


def test_parquet_with_lists_texts_and_missing_numbers(tmp_path: Path) -> None:
    import pyarrow as pa  # noqa: PLC0415
    from pyarrow import parquet  # noqa: PLC0415

    table = pa.table({"vector": [[1.0, 2.0], [3.0, 4.0]], "word": ["a", None], "count": [1, None]})
    parquet.write_table(table, tmp_path / "rows.parquet")
    found = load(tmp_path / "rows.parquet").columns
    assert found["vector"].tolist() == [[1, 2], [3, 4]]
    assert found["word"].tolist() == ["a", ""]
    np.testing.assert_array_equal(found["count"], [1.0, np.nan])


def test_a_library_that_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "rows.parquet").write_bytes(b"PAR1")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(DataFileError, match="pip install pyarrow"):
        load(tmp_path / "rows.parquet")


def test_pickles_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "rows.npz", x=np.array([{}], object))
    with pytest.raises(DataFileError, match="allow_pickle=False"):
        load(tmp_path / "rows.npz")


def npy() -> bytes:
    """One array, as numpy saves it without an archive."""
    content = io.BytesIO()
    np.save(content, np.arange(3))
    return content.getvalue()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("rows.npz", b"PK\x03\x04torn"),
        ("rows.npz", b"\x93NUMPY"),
        ("rows.npz", npy()),
        ("rows.csv", b"a,b\n\xff\xfe,1\n"),
        ("rows.csv", b'a,b\n"open,1\n'),
        ("rows.csv.gz", b"\x1f\x8btorn"),
        ("rows.parquet", b"PAR1torn"),
    ],
)
def test_damaged_files_are_named(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataFileError, match=f"{name} cannot be read"):
        load(tmp_path / name)


def test_values_of_csv_are_what_they_are_in_all_files(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("code,count\n1,1\n")
    (tmp_path / "b.csv").write_text("code,count\nx7,\n")
    found = load(tmp_path).columns
    assert found["code"].tolist() == ["1", "x7"]
    np.testing.assert_array_equal(found["count"], [1.0, np.nan])


def test_marks_of_engines_are_no_data(tmp_path: Path) -> None:
    for place in ("a.csv", "_temporary/0/b.csv", ".hidden/c.csv"):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).write_text("x\n1\n")
    assert load(tmp_path).rows == 1


def test_a_checkpoint_is_due_by_steps_since_the_last(tmp_path: Path) -> None:
    run = LocalRun(checkpoints=tmp_path, every=20, rank=1)  # of rank 0 alone it is written
    asked = [23, 46, 60, 66]
    due = []
    for step in asked:
        if run.due(step):
            due.append(step)
            run.checkpoint(step, {})
    assert due == [23, 46, 66]
    assert not LocalRun(every=1).due(5)


def test_the_contract_is_light() -> None:
    heavy = ("torch", "pyarrow", "PIL", "rich")
    code = f"import bmase.training, sys; print([name for name in {heavy} if name in sys.modules])"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert told.stdout.strip() == "[]"


def test_the_command_line(rows: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    seen: dict[str, Any] = {}

    def main(run: Run) -> None:
        seen.update(run.parameters, seed=run.seed, rows=run.source("train").rows, folder=run.folder)
        run.report(1, total=2, loss=0.5)
        (run.folder / "product").mkdir()
        (run.folder / "product" / "model.onnx").write_bytes(b"model")
        (run.folder / "notes.txt").write_text("seen", "utf-8")
        run.finish(Product(run.folder / "product", evidence={"notes.txt": run.folder / "notes.txt"}))

    local(
        main,
        [
            "--data",
            f"train={rows}",
            "--set",
            "steps=3",
            "--set",
            "name=a=b",
            "--seed",
            "9",
            "--out",
            str(tmp_path / "out"),
        ],
    )

    assert {name: seen[name] for name in ("steps", "name", "seed", "rows")} == {
        "steps": 3,
        "name": "a=b",
        "seed": 9,
        "rows": 103,
    }
    assert not seen["folder"].exists()
    assert (tmp_path / "out" / "model.onnx").read_bytes() == b"model"
    assert (tmp_path / "out" / "evidence" / "notes.txt").read_text("utf-8") == "seen"
    assert "step 1/2  loss 0.5" in capsys.readouterr().err


def test_data_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="is not there"):
        local(lambda run: print(run.source()), ["--data", str(tmp_path / "none.npz")])


def test_rare_metrics_are_told_among_frequent_ones(capsys: pytest.CaptureFixture[str]) -> None:
    lines = Lines(sys.stderr)
    for step in range(100):
        lines.show(step, 100, "", {"loss": 1.0})
    lines.show(100, 100, "", {"val_loss": 0.5})
    lines.close()
    told = capsys.readouterr().err.splitlines()
    assert "step 100/100  val_loss 0.5" in told
    assert "step 99/100  loss 1" in told
    assert len(told) < 50
