"""Manifests: equal for equal content wherever it lies, and telling what changed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from bmase.reasons import Reason

from services.kit.errors import DomainError, InvalidArgument
from services.trainer.data import Manifest, differences, discover, read
from services.trainer.data.places import listing, normal


def data(folder: Path, **files: str) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in files.items():
        (folder / f"{name}.csv").write_text(f"a,b\n{rows}")
    return str(folder)


def test_the_digest_is_over_content_not_places(tmp_path: Path) -> None:
    one = discover(data(tmp_path / "one", x="1,u\n", y="2,v\n"))
    moved = discover(data(tmp_path / "else where", q="2,v\n", z="1,u\n"))
    assert one.digest == moved.digest
    assert differences(one, moved) == []
    rows = [[batch["a"].tolist() for batch in read(manifest)] for manifest in (one, moved)]
    assert rows[0] == rows[1]
    assert discover(data(tmp_path / "one", x="1,w\n")).digest != one.digest


def test_a_file_that_is_there_twice_counts_twice(tmp_path: Path) -> None:
    once = discover(data(tmp_path / "once", x="1,u\n"))
    twice = discover(data(tmp_path / "twice", x="1,u\n", y="1,u\n"))
    assert (once.rows, twice.rows) == (1, 2)
    assert once.digest != twice.digest


def test_it_survives_being_written_and_is_proved_when_read(tmp_path: Path) -> None:
    manifest = discover(data(tmp_path, x="1,u\n"))
    assert Manifest.from_json(manifest.to_json()) == manifest
    forged = json.loads(manifest.to_json())
    forged["files"][0]["sha256"] = "0" * 64
    with pytest.raises(DomainError) as caught:
        Manifest.from_json(json.dumps(forged))
    assert caught.value.reason is Reason.DIGEST_MISMATCH
    assert manifest.digest in caught.value.message


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"digest": "x", "version": 1}', "null"])
def test_what_is_no_manifest_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument, match="is no manifest of data"):
        Manifest.from_json(text)


def test_another_version_of_manifests_is_refused(tmp_path: Path) -> None:
    document = json.loads(discover(data(tmp_path, x="1,u\n")).to_json()) | {"version": 2}
    with pytest.raises(InvalidArgument, match="has version 2; this program reads 1"):
        Manifest.from_json(json.dumps(document))


def test_what_changed_is_named_with_both_digests(tmp_path: Path) -> None:
    before = discover(data(tmp_path, same="1,u\n", changed="2,v\n", gone="3,w\n", moved="4,x\n"))
    (tmp_path / "gone.csv").unlink()
    shutil.move(tmp_path / "moved.csv", tmp_path / "arrived.csv")
    now = discover(data(tmp_path, changed="2.5,v\n", new="5,y\n"))
    digests = {Path(file.uri).stem: file.sha256 for file in before.files}
    later = {Path(file.uri).stem: file.sha256 for file in now.files}
    root = tmp_path.as_uri()
    assert differences(before, now) == [
        "column a was int64 and is float64",
        f"{root}/changed.csv had sha256:{digests['changed']} and has sha256:{later['changed']}",
        f"{root}/gone.csv (sha256:{digests['gone']}) is gone",
        f"{root}/new.csv (sha256:{later['new']}) was added",
    ]


def test_numbers_widen_to_what_holds_all_files(tmp_path: Path) -> None:
    manifest = discover(data(tmp_path, x="1,u\n", y="2.5,7\n"))
    assert [str(column) for column in manifest.columns] == ["float64", "text"]
    (batch,) = read(manifest)
    assert sorted(zip(batch["a"].tolist(), batch["b"].tolist(), strict=True)) == [(1.0, "u"), (2.5, "7")]


def test_columns_that_differ_are_named_with_both_files(tmp_path: Path) -> None:
    data(tmp_path, x="1,u\n")
    (tmp_path / "y.csv").write_text("a,c\n1,2\n")
    with pytest.raises(DomainError, match=r"y\.csv: has other columns than .*x\.csv: it has not b; only it has c"):
        discover(str(tmp_path))


def test_types_that_do_not_fit_are_named_with_both_files(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", a=np.arange(3))
    np.savez(tmp_path / "y.npz", a=np.array(["u"]))
    with pytest.raises(DomainError, match=r"y\.npz: column a is text, but int64 in .*x\.npz"):
        discover(str(tmp_path))


def test_one_format_and_no_strangers(tmp_path: Path) -> None:
    data(tmp_path, x="1,u\n")
    np.savez(tmp_path / "y.npz", a=np.arange(3))
    with pytest.raises(DomainError, match=r"y\.npz: is npz, but .*x\.csv is csv"):
        discover(str(tmp_path))
    (tmp_path / "y.npz").rename(tmp_path / "README.md")
    with pytest.raises(DomainError, match=r"README\.md: is no file of data by its name"):
        discover(str(tmp_path))


@pytest.mark.parametrize("name", ["nowhere", "empty"])
def test_nothing_there_is_said(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DomainError, match=name) as caught:
        discover(str(tmp_path / name))
    assert caught.value.reason is Reason.DATA_NOT_FOUND


def test_names_are_quoted_in_uris_and_found_again(tmp_path: Path) -> None:
    data(tmp_path / "50% off?", **{"a b#c": "1,u\n"})
    manifest = discover(str(tmp_path / "50% off?"))
    assert manifest.files[0].uri == f"{tmp_path.as_uri()}/50%25%20off%3F/a%20b%23c.csv"
    assert next(iter(read(manifest)))["a"].tolist() == [1]
    assert listing(manifest.files[0].uri) == [manifest.files[0].uri]


@pytest.mark.parametrize(
    ("uri", "why"),
    [
        ("ftp://host/data", "begins with none of file://, hdfs://, s3://"),
        ("http://host/data.csv", "begins with none of"),
        ("s3://key:secret@bucket/data", "must not hold credentials"),
        ("file://host/data", "must be file:///"),
        ("hdfs:///data", "must be hdfs://namenode:port/path"),
    ],
)
def test_addresses_that_cannot_be_used_are_refused(uri: str, why: str) -> None:
    with pytest.raises(DomainError, match=why) as caught:
        listing(normal(uri))
    assert "secret" not in caught.value.message
