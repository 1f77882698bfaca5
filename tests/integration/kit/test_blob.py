"""The blob store, the same tests on files and on a real S3."""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from bmase.reasons import Reason

from services.kit.blob import CHUNK_BYTES, BlobStore, open_store
from services.kit.errors import DomainError
from tests.support.ports import free_port
from tests.support.seaweedfs import Identity, SeaweedFS
from tests.support.smalldisk import run_on_small_disk

pytestmark = pytest.mark.anyio

FULL_DISK = Path(__file__).with_name("full_blob_program.py")
STREAMING = Path(__file__).with_name("stream_blob_program.py")
MIB = 1024 * 1024


@pytest.fixture(scope="module")
def seaweedfs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SeaweedFS]:
    with SeaweedFS(tmp_path_factory.mktemp("seaweedfs")) as server:
        yield server


@pytest.fixture(scope="module")
def bucket(seaweedfs: SeaweedFS) -> str:
    return seaweedfs.new_bucket()


def environment(who: Identity) -> dict[str, str]:
    return {"AWS_ACCESS_KEY_ID": who.key, "AWS_SECRET_ACCESS_KEY": who.secret}


def s3_url(server: SeaweedFS, bucket: str, prefix: str) -> str:
    return f"s3://{bucket}/{prefix}?endpoint={server.endpoint}"


@pytest.fixture(params=["file", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> BlobStore:
    """An empty store."""
    if request.param == "file":
        return open_store(f"file://{tmp_path}/blobs")
    server, bucket = request.getfixturevalue("seaweedfs"), request.getfixturevalue("bucket")
    prefix = f"p{random.randrange(10**12)}/inner"
    return open_store(s3_url(server, bucket, prefix), environment(server.admin))


async def read(store: BlobStore, key: str, offset: int = 0, length: int | None = None) -> bytes:
    pieces = [piece async for piece in store.stream(key, offset, length)]
    assert all(0 < len(piece) <= CHUNK_BYTES for piece in pieces)
    return b"".join(pieces)


async def keys(store: BlobStore, prefix: str = "") -> list[str]:
    return sorted([info.key async for info in store.list(prefix)])


@pytest.mark.parametrize("size", [0, 1, CHUNK_BYTES, 8 * MIB, 8 * MIB + 1, 37 * MIB + 5])
@pytest.mark.parametrize("as_file", [True, False])
async def test_what_is_put_is_read_back(store: BlobStore, tmp_path: Path, size: int, as_file: bool) -> None:
    await store.check()
    body = random.Random(size).randbytes(size)
    source = tmp_path / "source"
    source.write_bytes(body)
    before = time.time()
    assert await store.put_if_absent("sha256/ab/one", source if as_file else body)
    info = await store.head("sha256/ab/one")
    assert info is not None
    assert (info.key, info.size) == ("sha256/ab/one", size)
    assert before - 2 < info.modified.timestamp() < time.time() + 2
    assert await read(store, "sha256/ab/one") == body
    assert source.read_bytes() == body


async def test_any_part_can_be_read(store: BlobStore) -> None:
    body = random.Random(1).randbytes(20 * MIB + 3)
    await store.put_if_absent("a", body)
    edges = [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, 8 * MIB - 1, 8 * MIB, 8 * MIB + 1, len(body) - 1, len(body)]
    for offset in edges:
        for length in (0, 1, CHUNK_BYTES, 8 * MIB, 100 * MIB, None):
            end = len(body) if length is None else offset + length
            assert await read(store, "a", offset, length) == body[offset:end], (offset, length)
    with pytest.raises(DomainError, match="beyond"):
        await read(store, "a", len(body) + 1)


async def test_the_first_put_stays(store: BlobStore, tmp_path: Path) -> None:
    large = tmp_path / "large"
    large.write_bytes(b"x" * (9 * MIB))
    assert await store.put_if_absent("a", b"first")
    assert not await store.put_if_absent("a", b"second")
    assert not await store.put_if_absent("a", large)
    assert await read(store, "a") == b"first"


async def test_one_of_many_racing_puts_creates(store: BlobStore) -> None:
    results = await asyncio.gather(*(store.put_if_absent("raced", f"writer {n:02}".encode()) for n in range(16)))
    assert results.count(True) == 1
    assert await read(store, "raced") == f"writer {results.index(True):02}".encode()


async def test_racing_puts_of_one_large_blob_leave_it_whole(store: BlobStore, tmp_path: Path) -> None:
    source = tmp_path / "large"
    source.write_bytes(random.Random(2).randbytes(20 * MIB))
    await asyncio.gather(*(store.put_if_absent("large", source) for _ in range(4)))
    assert hashlib.sha256(await read(store, "large")).digest() == hashlib.sha256(source.read_bytes()).digest()


async def test_a_consumed_file_is_gone_in_either_case(store: BlobStore, tmp_path: Path) -> None:
    for expected in (True, False):
        source = tmp_path / "source"
        source.write_bytes(b"body")
        assert await store.put_if_absent("a", source, consume=True) is expected
        assert not source.exists()
    assert await read(store, "a") == b"body"


async def test_files_are_taken_without_copying(tmp_path: Path) -> None:
    store = open_store(f"file://{tmp_path}/blobs")
    source = tmp_path / "source"
    source.write_bytes(b"body")
    inode = source.stat().st_ino
    await store.put_if_absent("a/b", source, consume=True)
    assert (tmp_path / "blobs/a/b").stat().st_ino == inode


async def test_what_is_deleted_is_gone_and_may_be_put_again(store: BlobStore) -> None:
    await store.put_if_absent("a/b", b"1")
    await store.delete("a/b")
    await store.delete("a/b")
    await store.delete("never/was")
    assert await store.head("a/b") is None
    assert await keys(store) == []
    assert await store.put_if_absent("a/b", b"2")
    assert await read(store, "a/b") == b"2"


async def test_what_is_not_there_is_not_found(store: BlobStore) -> None:
    await store.put_if_absent("a/b", b"1")
    for key in ("nothing", "a", "a/b/c", "a/nothing"):
        assert await store.head(key) is None, key
        with pytest.raises(DomainError) as missing:
            await read(store, key)
        assert missing.value.reason is Reason.ARTEFACT_NOT_FOUND
        assert missing.value.metadata == {"key": key}


async def test_a_prefix_lists_what_is_under_it(store: BlobStore) -> None:
    names = ["a/1", "a/2", "a/b/3", "ab/4", "c"]
    for name in names:
        await store.put_if_absent(name, name.encode())
    assert await keys(store) == names
    assert await keys(store, "a") == await keys(store, "a/") == ["a/1", "a/2", "a/b/3"]
    assert await keys(store, "nothing") == []
    assert [info.size async for info in store.list("c")] in ([], [1])


async def test_many_blobs_are_listed_completely(store: BlobStore) -> None:
    for start in range(0, 1200, 100):
        await asyncio.gather(*(store.put_if_absent(f"many/{n:04}", b"x") for n in range(start, start + 100)))
    assert await keys(store, "many") == [f"many/{n:04}" for n in range(1200)]


BAD_KEYS = ["", "/a", "a/", "a//b", "..", "../a", "a/../b", ".", "a/.", ".hidden", "a/.b", "a\\b", "a\x00", "a\n", "ä"]


@pytest.mark.parametrize("key", [*BAD_KEYS, "x" * 901])
async def test_a_key_cannot_leave_the_store(store: BlobStore, key: str) -> None:
    for refused in (store.put_if_absent(key, b"1"), store.head(key), store.delete(key), read(store, key)):
        with pytest.raises(DomainError) as error:
            await refused
        assert error.value.reason is Reason.INVALID_FIELD


async def test_a_reader_that_leaves_early_costs_nothing(store: BlobStore) -> None:
    await store.put_if_absent("a", random.Random(3).randbytes(24 * MIB))
    for _ in range(20):
        stream = store.stream(key="a")
        await anext(stream)
        await stream.aclose()  # type: ignore[attr-defined]
    assert len(await read(store, "a")) == 24 * MIB
    assert len(list(Path("/proc/self/fd").iterdir())) < 200


async def test_streams_take_constant_memory(seaweedfs: SeaweedFS, bucket: str, tmp_path: Path) -> None:
    """256 MiB in and out; the growth of the process is printed by it in MiB."""
    source = tmp_path / "source"
    with source.open("wb") as file:
        for n in range(256):
            file.write(random.Random(n).randbytes(MIB))
    for url in (f"file://{tmp_path}/blobs", s3_url(seaweedfs, bucket, "streaming")):
        done = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, STREAMING, url, source],
            env={**os.environ, **environment(seaweedfs.admin), "PYTHONPATH": "."},
            capture_output=True,
            text=True,
            check=True,
        )
        assert int(done.stdout.split()[0]) < 170, url


async def test_a_file_put_that_is_interrupted_leaves_nothing_to_see(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(f"file://{tmp_path}/blobs")

    def cut(*_: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("services.kit.blob.files._sync", cut)
    with pytest.raises(DomainError, match="Input/output error") as failed:
        await store.put_if_absent("a", b"body")
    assert failed.value.reason is Reason.STORE_UNAVAILABLE
    monkeypatch.undo()
    assert await keys(store) == []
    assert list((tmp_path / "blobs/.incoming").iterdir()) == []
    assert await store.put_if_absent("a", b"body")


async def test_leftovers_of_killed_writers_are_removed_after_a_day(tmp_path: Path) -> None:
    store = open_store(f"file://{tmp_path}/blobs")
    await store.check()
    old, new = (tmp_path / "blobs/.incoming" / name for name in ("old", "new"))
    for path in (old, new):
        path.write_bytes(b"half")
    os.utime(old, (0, 0))
    await store.check()
    assert (old.exists(), new.exists()) == (False, True)
    assert await keys(store) == []


async def test_a_full_disk_refuses_and_keeps_what_was_there() -> None:
    said = await asyncio.to_thread(run_on_small_disk, FULL_DISK, "4m")
    assert said == {"bytes": "STORAGE_FULL", "file": "STORAGE_FULL", "listed": ["before"], "incoming": 0, "after": True}


async def test_a_folder_that_cannot_be_used_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(DomainError) as refused:
        await open_store(f"file://{tmp_path}/file").check()
    assert refused.value.reason is Reason.STORE_UNAVAILABLE


async def test_what_is_wrong_with_an_s3_is_said(seaweedfs: SeaweedFS, bucket: str) -> None:
    right, wrong = environment(seaweedfs.admin), environment(Identity.new())
    nobody = f"s3://{bucket}?endpoint=http://127.0.0.1:{free_port()}"
    cases = [
        (s3_url(seaweedfs, "no-such-bucket", ""), right, "no such bucket"),
        (s3_url(seaweedfs, bucket, ""), wrong, "refuses the credentials"),
        (nobody, right, "does not work"),
    ]
    for url, who, said in cases:
        with pytest.raises(DomainError, match=said) as error:
            await open_store(url, who).check()
        assert error.value.reason is Reason.STORE_UNAVAILABLE
        assert who["AWS_SECRET_ACCESS_KEY"] not in str(error.value)
    with pytest.raises(DomainError, match="refuses the credentials"):
        await open_store(s3_url(seaweedfs, bucket, ""), wrong).put_if_absent("a", b"1")


async def test_a_reader_may_read_and_not_write(seaweedfs: SeaweedFS, bucket: str) -> None:
    url = s3_url(seaweedfs, bucket, "shared")
    await open_store(url, environment(seaweedfs.admin)).put_if_absent("a", b"1")
    reader = open_store(url, environment(seaweedfs.reader))
    assert await read(reader, "a") == b"1"
    with pytest.raises(DomainError, match="refuses the credentials"):
        await reader.put_if_absent("b", b"1")


async def test_an_s3_that_dies_is_an_error_and_keeps_its_blobs(seaweedfs: SeaweedFS, bucket: str) -> None:
    store = open_store(s3_url(seaweedfs, bucket, "survives"), environment(seaweedfs.admin))
    await store.put_if_absent("a", b"1" * (3 * MIB))
    await asyncio.to_thread(seaweedfs.kill)
    started = time.monotonic()
    for call in (store.head("a"), store.put_if_absent("b", b"1"), read(store, "a")):
        with pytest.raises(DomainError) as away:
            await call
        assert away.value.reason is Reason.STORE_UNAVAILABLE
    assert time.monotonic() - started < 40
    await asyncio.to_thread(seaweedfs.start)
    assert await read(store, "a") == b"1" * (3 * MIB)
