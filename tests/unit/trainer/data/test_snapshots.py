"""Snapshots: data that outlives its files, stored once, verified on the way back."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest
from bmase.reasons import Reason

from services.kit.blob import FileStore
from services.kit.errors import DomainError
from services.trainer.data import Kept, Manifest, Stored, discover, read, recorded, snapshot, snapshots


def data(folder: Path, *names: str) -> Manifest:
    folder.mkdir(exist_ok=True)
    for name in names:
        np.savez(folder / f"{name}.npz", x=np.arange(100) + ord(name[0]))
    return discover(str(folder))


def keep(manifest: Manifest, store: FileStore) -> Kept:
    return asyncio.run(snapshot(manifest, store))


def rows(manifest: Manifest, source: Stored | None = None) -> list[int]:
    return [int(x) for batch in read(manifest, source=source) for x in batch["x"]]


def test_data_is_read_back_when_its_files_are_gone(tmp_path: Path) -> None:
    manifest, store = data(tmp_path / "data", "a", "b"), FileStore(tmp_path / "store")
    before = rows(manifest)
    kept = keep(manifest, store)
    assert kept == Kept(manifest.digest, 2, manifest.size, 2, manifest.size)
    for path in (tmp_path / "data").iterdir():
        path.unlink()
    found = asyncio.run(recorded(store, kept.digest))
    assert found == manifest
    assert rows(found, Stored(store)) == before == rows(found, Stored(store, tmp_path / "cache"))


def test_only_what_is_not_there_is_stored(tmp_path: Path) -> None:
    store = FileStore(tmp_path / "store")
    keep(data(tmp_path / "data", "a", "b"), store)
    again = keep(discover(str(tmp_path / "data")), store)
    assert (again.files, again.new_files, again.new_bytes) == (2, 0, 0)
    more = keep(data(tmp_path / "data", "c"), store)
    assert (more.files, more.new_files) == (3, 1)


def test_a_file_that_is_there_twice_is_stored_once(tmp_path: Path) -> None:
    manifest = data(tmp_path / "data", "a")
    (tmp_path / "data" / "twin.npz").write_bytes((tmp_path / "data" / "a.npz").read_bytes())
    manifest = discover(str(tmp_path / "data"))
    assert (manifest.rows, keep(manifest, FileStore(tmp_path / "store")).files) == (200, 1)


@pytest.mark.parametrize("small", [0, 8 * 1024 * 1024])
def test_changed_content_never_gets_under_the_old_digest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small: int
) -> None:
    """Also when the file changes after its digest was checked and before it is copied."""
    monkeypatch.setattr(snapshots, "SMALL_BYTES", small)
    manifest, store = data(tmp_path / "data", "a"), FileStore(tmp_path / "store")
    path, checked = tmp_path / "data" / "a.npz", snapshots.Places._verify

    def then_changed(*arguments: object) -> None:
        checked(*arguments)  # type: ignore[arg-type]
        raw = bytearray(path.read_bytes())
        raw[100] ^= 1
        path.write_bytes(raw)

    monkeypatch.setattr(snapshots.Places, "_verify", then_changed)
    with pytest.raises(DomainError) as caught:
        keep(manifest, store)
    assert caught.value.reason is Reason.DIGEST_MISMATCH
    assert not [path for path in (tmp_path / "store").rglob("*") if path.is_file()]


def test_large_files_are_copied_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshots, "SMALL_BYTES", 0)
    manifest, store = data(tmp_path / "data", "a"), FileStore(tmp_path / "store")
    assert keep(manifest, store).new_files == 1
    assert rows(manifest, Stored(store)) == rows(manifest)


def test_a_blob_that_rotted_is_refused_with_both_digests(tmp_path: Path) -> None:
    manifest, store = data(tmp_path / "data", "a"), FileStore(tmp_path / "store")
    keep(manifest, store)
    blob = tmp_path / "store" / snapshots.file_key(manifest.files[0].sha256)
    raw = bytearray(blob.read_bytes())
    raw[50] ^= 1
    blob.write_bytes(raw)
    with pytest.raises(DomainError) as caught:
        rows(manifest, Stored(store))
    assert caught.value.reason is Reason.DIGEST_MISMATCH
    assert manifest.files[0].sha256 in caught.value.message
    assert "snapshot" in caught.value.message


def test_half_a_blob_is_replaced(tmp_path: Path) -> None:
    manifest, store = data(tmp_path / "data", "a"), FileStore(tmp_path / "store")
    keep(manifest, store)
    blob = tmp_path / "store" / snapshots.file_key(manifest.files[0].sha256)
    blob.write_bytes(blob.read_bytes()[:99])
    assert keep(manifest, store).new_files == 1
    assert rows(manifest, Stored(store)) == rows(manifest)


def test_what_was_never_kept_is_not_found(tmp_path: Path) -> None:
    manifest, store = data(tmp_path / "data", "a"), FileStore(tmp_path / "store")
    with pytest.raises(DomainError) as caught:
        asyncio.run(recorded(store, manifest.digest))
    assert caught.value.reason is Reason.ARTEFACT_NOT_FOUND
    with pytest.raises(DomainError) as caught:
        rows(manifest, Stored(store))
    assert caught.value.reason is Reason.ARTEFACT_NOT_FOUND


def test_a_missing_file_leaves_no_manifest(tmp_path: Path) -> None:
    manifest, store = data(tmp_path / "data", "a", "b"), FileStore(tmp_path / "store")
    (tmp_path / "data" / "a.npz").unlink()
    with pytest.raises(DomainError, match=r"a\.npz"):
        keep(manifest, store)
    assert not list((tmp_path / "store").rglob("*.json"))


def test_another_manifest_under_the_name_is_found_out(tmp_path: Path) -> None:
    store = FileStore(tmp_path / "store")
    one = data(tmp_path / "one", "a")
    other = data(tmp_path / "other", "b")
    asyncio.run(store.put_if_absent(snapshots.manifest_key(one.digest), other.to_json().encode()))
    with pytest.raises(DomainError, match="in place of"):
        asyncio.run(recorded(store, one.digest))
