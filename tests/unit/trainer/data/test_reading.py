"""Reading: verified before the first row, in bounded memory, from anywhere."""

from __future__ import annotations

import itertools
import os
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import SplitResult, unquote

import numpy as np
import pytest
from bmase.reasons import Reason
from fsspec.implementations.memory import MemoryFileSystem
from fsspec.spec import AbstractFileSystem
from hypothesis import given
from hypothesis import strategies as st

from services.kit.errors import DomainError, InvalidArgument
from services.trainer.data import Places, discover, places, read, rebatched
from services.trainer.data.manifest import Manifest


def data(folder: Path, files: int = 3, rows: int = 10) -> Manifest:
    for number in range(files):
        np.savez(folder / f"{number}.npz", x=np.arange(rows) + number * rows, y=np.full((rows, 2), float(number)))
    return discover(str(folder))


@pytest.fixture
def afar(monkeypatch: pytest.MonkeyPatch) -> Iterator[AbstractFileSystem]:
    """A file system that is not the local one, under the scheme afar."""
    system = MemoryFileSystem(skip_instance_cache=True)
    system.store, system.pseudo_dirs = {}, [""]

    def reach(parts: SplitResult) -> tuple[AbstractFileSystem, str]:
        return system, unquote(parts.path)

    monkeypatch.setitem(places.SCHEMES, "afar", reach)
    return system


@given(st.lists(st.integers(0, 9), max_size=12), st.integers(1, 7))
def test_batches_are_exactly_as_long_as_asked(sizes: list[int], rows: int) -> None:
    numbers = np.arange(sum(sizes))
    ends = np.cumsum([0, *sizes])
    pieces = [{"x": numbers[start:end]} for start, end in itertools.pairwise(ends)]
    found = [batch["x"] for batch in rebatched(pieces, rows)]
    assert [len(batch) for batch in found[:-1]] == [rows] * (len(found) - 1)
    assert all(0 < len(batch) <= rows for batch in found)
    assert np.concatenate([*found, numbers[:0]]).tolist() == numbers.tolist()


def test_batches_go_on_over_the_ends_of_files(tmp_path: Path) -> None:
    batches = list(read(data(tmp_path), rows=12))
    assert [len(batch["x"]) for batch in batches] == [12, 12, 6]
    assert sorted(np.concatenate([batch["x"] for batch in batches]).tolist()) == list(range(30))
    assert all((batch["y"][:, 0] == batch["x"] // 10).all() for batch in batches)


def test_only_the_columns_that_were_asked_for(tmp_path: Path) -> None:
    assert {name for batch in read(data(tmp_path), ["y"]) for name in batch} == {"y"}


@pytest.mark.parametrize(
    ("columns", "rows", "why"), [(["z"], 10, "z is none of x, y"), ([], 10, "none"), (None, 0, "1 to")]
)
def test_what_cannot_be_asked_is_refused_at_once(
    tmp_path: Path, columns: list[str] | None, rows: int, why: str
) -> None:
    manifest = data(tmp_path)
    with pytest.raises(InvalidArgument, match=why):
        read(manifest, columns, rows)


def test_a_changed_file_is_refused_with_both_digests_before_its_rows(tmp_path: Path) -> None:
    manifest = data(tmp_path, files=1)
    recorded = manifest.files[0].sha256
    np.savez(tmp_path / "0.npz", x=np.arange(10) + 1, y=np.zeros((10, 2)))
    found = discover(str(tmp_path)).files[0].sha256
    with pytest.raises(DomainError) as caught:
        next(iter(read(manifest)))
    assert caught.value.reason is Reason.DIGEST_MISMATCH
    assert all(part in caught.value.message for part in ("0.npz", recorded, found))


def test_a_file_that_changes_between_two_epochs_is_found(tmp_path: Path) -> None:
    manifest, source = data(tmp_path, files=1), Places()
    assert len(list(read(manifest, source=source))) == 1
    path = tmp_path / "0.npz"
    raw, status = bytearray(path.read_bytes()), path.stat()
    raw[-1] ^= 1
    path.write_bytes(raw)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    with pytest.raises(DomainError, match="has changed"):
        list(read(manifest, source=source))


def test_an_unchanged_file_is_digested_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest, source = data(tmp_path, files=1), Places()
    list(read(manifest, source=source))
    monkeypatch.setattr("services.trainer.data.sources.digest_of", lambda *_: pytest.fail("digested again"))
    assert len(list(read(manifest, source=source))) == 1


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    manifest = data(tmp_path, files=1)
    (tmp_path / "0.npz").unlink()
    with pytest.raises(DomainError, match=r"there is no file:.*0\.npz") as caught:
        list(read(manifest))
    assert caught.value.reason is Reason.DATA_NOT_FOUND


def test_more_than_memory_is_read_in_little(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "big.npz", x=np.zeros((40_000, 100)))
    manifest = discover(str(tmp_path))
    tracemalloc.start()
    try:
        rows = sum(len(batch["x"]) for batch in read(manifest, rows=500))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert rows == 40_000
    assert peak < 8_000_000 < 40_000 * 100 * 8


def test_files_afar_are_found_verified_and_read(afar: AbstractFileSystem) -> None:
    afar.pipe({"/d/p q/x.csv": b"a,b\n1,u\n", "/d/p q/y.csv": b"a,b\n2,v\n"})
    manifest = discover("afar://host/d/p%20q")
    assert [file.uri for file in sorted(manifest.files, key=lambda file: file.uri)] == [
        "afar://host/d/p%20q/x.csv",
        "afar://host/d/p%20q/y.csv",
    ]
    (batch,) = read(manifest)
    assert sorted(batch["b"].tolist()) == ["u", "v"]
    afar.pipe({"/d/p q/x.csv": b"a,b\n9,u\n"})
    with pytest.raises(DomainError, match=r"afar://host/d/p%20q/x\.csv has changed"):
        list(read(manifest))


def test_the_cache_spares_the_way_and_is_itself_verified(afar: AbstractFileSystem, tmp_path: Path) -> None:
    afar.pipe({"/d/x.csv": b"a,b\n1,u\n"})
    manifest, cache = discover("afar://host/d"), tmp_path / "cache"
    assert len(list(read(manifest, source=Places(cache)))) == 1
    afar.rm("/d/x.csv")
    assert len(list(read(manifest, source=Places(cache)))) == 1
    (kept,) = cache.iterdir()
    kept.write_bytes(b"a,b\n2,u\n")
    with pytest.raises(DomainError) as caught:
        list(read(manifest, source=Places(cache)))
    assert caught.value.reason is Reason.DATA_NOT_FOUND
    afar.pipe({"/d/x.csv": b"a,b\n1,u\n"})
    (batch,) = read(manifest, source=Places(cache))
    assert batch["a"].tolist() == [1]
    assert [path.name for path in cache.iterdir()] == [manifest.files[0].sha256]


def test_a_store_that_fails_midway_is_named(afar: AbstractFileSystem, monkeypatch: pytest.MonkeyPatch) -> None:
    afar.pipe({"/d/x.csv": b"a,b\n1,u\n"})
    manifest = discover("afar://host/d")

    def broken(*_: object, **__: object) -> None:
        raise ConnectionResetError("reset by peer")

    monkeypatch.setattr(afar, "open", broken)
    with pytest.raises(DomainError, match=r"afar://host/d/x\.csv cannot be read: ConnectionResetError") as caught:
        list(read(manifest))
    assert caught.value.reason is Reason.STORE_UNAVAILABLE
