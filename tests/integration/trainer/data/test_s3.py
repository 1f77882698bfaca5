"""Data on a real S3: found, verified, read, and its errors told apart."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from bmase.reasons import Reason
from s3fs import S3FileSystem

from services.kit.blob import open_store
from services.kit.errors import DomainError
from services.trainer.data import Places, Stored, discover, read, recorded, snapshot
from tests.support.ports import free_port
from tests.support.seaweedfs import REGION, SeaweedFS


@pytest.fixture(scope="module")
def seaweedfs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SeaweedFS]:
    with SeaweedFS(tmp_path_factory.mktemp("seaweedfs")) as server:
        yield server


@pytest.fixture
def place(seaweedfs: SeaweedFS, monkeypatch: pytest.MonkeyPatch) -> str:
    """A bucket that the environment has the credentials for."""
    S3FileSystem.clear_instance_cache()
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", seaweedfs.admin.key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", seaweedfs.admin.secret)
    return seaweedfs.new_bucket()


def put(server: SeaweedFS, bucket: str, key: str, body: bytes) -> None:
    server.client().put_object(Bucket=bucket, Key=key, Body=body)


def packed(folder: Path, start: int) -> bytes:
    path = folder / f"{start}.npz"
    np.savez(path, x=np.arange(start, start + 1000))
    return path.read_bytes()


def test_data_in_a_bucket_is_data(seaweedfs: SeaweedFS, place: str, tmp_path: Path) -> None:
    query = f"?endpoint={seaweedfs.endpoint}&region={REGION}"
    for start in (0, 1000):
        put(seaweedfs, place, f"clicks/day 1/{start}.npz", packed(tmp_path, start))
    manifest = discover(f"s3://{place}/clicks{query}")
    assert sorted(file.uri for file in manifest.files) == [
        f"s3://{place}/clicks/day%201/{name}.npz{query}" for name in ("0", "1000")
    ]
    assert sorted(x for batch in read(manifest) for x in batch["x"]) == list(range(2000))
    assert discover(str(tmp_path)).digest == manifest.digest
    source = Places(tmp_path / "cache")
    assert sum(len(batch["x"]) for batch in read(manifest, source=source)) == 2000

    put(seaweedfs, place, "clicks/day 1/0.npz", packed(tmp_path, 7))
    with pytest.raises(DomainError, match="has changed since the manifest was made") as caught:
        list(read(manifest))
    assert caught.value.reason is Reason.DIGEST_MISMATCH
    assert sum(len(batch["x"]) for batch in read(manifest, source=source)) == 2000


def test_a_snapshot_in_a_bucket_outlives_the_files(seaweedfs: SeaweedFS, place: str, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    packed(tmp_path / "data", 0)
    manifest = discover(str(tmp_path / "data"))
    store = open_store(f"s3://{place}/kept?endpoint={seaweedfs.endpoint}&region={REGION}")
    assert asyncio.run(snapshot(manifest, store)).new_files == 1
    assert asyncio.run(snapshot(manifest, store)).new_files == 0
    (tmp_path / "data" / "0.npz").unlink()
    found = asyncio.run(recorded(store, manifest.digest))
    assert sum(len(batch["x"]) for batch in read(found, source=Stored(store))) == 1000


@pytest.mark.parametrize("name", ["nothing", "nothing.npz"])
def test_what_is_not_there_is_named(seaweedfs: SeaweedFS, place: str, name: str) -> None:
    with pytest.raises(DomainError, match=name) as caught:
        discover(f"s3://{place}/{name}?endpoint={seaweedfs.endpoint}&region={REGION}")
    assert caught.value.reason is Reason.DATA_NOT_FOUND


def test_a_bucket_that_is_not_there_is_named(seaweedfs: SeaweedFS, place: str) -> None:
    with pytest.raises(DomainError, match="there is no s3://no-such-bucket/data") as caught:
        discover(f"s3://no-such-bucket/data?endpoint={seaweedfs.endpoint}&region={REGION}")
    assert caught.value.reason is Reason.DATA_NOT_FOUND


def test_a_server_that_is_gone_is_no_missing_file(place: str) -> None:
    with pytest.raises(DomainError, match="cannot be read") as caught:
        discover(f"s3://{place}/data?endpoint=http://127.0.0.1:{free_port()}&region={REGION}")
    assert caught.value.reason is Reason.STORE_UNAVAILABLE


def test_wrong_credentials_are_not_a_missing_file(
    seaweedfs: SeaweedFS, place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(seaweedfs, place, "0.npz", packed(tmp_path, 0))
    S3FileSystem.clear_instance_cache()
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong-secret")
    with pytest.raises(DomainError) as caught:
        discover(f"s3://{place}/0.npz?endpoint={seaweedfs.endpoint}&region={REGION}")
    assert caught.value.reason is Reason.STORE_UNAVAILABLE
    assert "wrong-secret" not in caught.value.message
