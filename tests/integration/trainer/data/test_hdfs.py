"""Data on a real HDFS: found, verified, read and kept; DataNodes and the NameNode die, and that is said or survived."""

from __future__ import annotations

import asyncio
import io
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from bmase.reasons import Reason
from PIL import Image
from pyarrow import parquet as pq

from services.kit.blob import open_store
from services.kit.errors import DomainError
from services.trainer.data import (
    Places,
    Splits,
    Stored,
    discover,
    hdfs,
    places,
    read,
    recorded,
    shard,
    snapshot,
    sources,
)
from tests.support.hdfs import BLOCK_BYTES, Hdfs
from tests.support.process import Process

pytestmark = pytest.mark.timeout(900)  # trainings of their own, beside other tests

LARGE = 2_000_000  # rows of eight bytes: fifteen blocks


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hdfs]:
    """Two DataNodes, every block on both."""
    with Hdfs(tmp_path_factory.mktemp("hdfs"), datanodes=2) as running:
        yield running


@pytest.fixture
def files(cluster: Hdfs, request: pytest.FixtureRequest) -> Callable[[str, bytes], str]:
    """Writes a file below a folder of the test's own and returns the folder's URI; what was killed runs again."""
    cluster.start()
    root = f"/{request.node.name}"

    def put(name: str, content: bytes) -> str:
        cluster.put(f"{root}/{name}", content)
        return f"{cluster.url}{root}".replace("[", "%5B").replace("]", "%5D")

    return put


def npz(start: int, count: int = 1000) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, x=np.arange(start, start + count))
    return buffer.getvalue()


def parquet(start: int, count: int = 1000) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.table({"x": np.arange(start, start + count)}), buffer)
    return buffer.getvalue()


def csv(start: int, count: int = 1000) -> bytes:
    return ("x\n" + "".join(f"{x}\n" for x in range(start, start + count))).encode()


def picture(shade: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("L", (4, 4), shade).save(buffer, "png")
    return buffer.getvalue()


@pytest.mark.parametrize(("suffix", "content"), [("npz", npz), ("parquet", parquet), ("csv", csv)])
def test_tables_are_found_read_and_parted(
    files: Callable[[str, bytes], str], suffix: str, content: Callable[[int], bytes], tmp_path: Path
) -> None:
    # Names that mean something in a URI are letters in a file system.
    for name, start in ((f"day 1/a#{suffix}?.{suffix}", 0), (f"day 1/100%.{suffix}", 1000)):
        root = files(name, content(start))
        (tmp_path / f"{start}.{suffix}").write_bytes(content(start))
    manifest = discover(root)
    assert manifest.digest == discover(str(tmp_path)).digest
    assert sorted(x for batch in read(manifest) for x in batch["x"]) == list(range(2000))
    dealt = [x for rank in (0, 1) for b in shard(manifest, Splits(), "all", rank=rank, world_size=2) for x in b["x"]]
    assert sorted(dealt) == list(range(2000))


def test_pictures_have_the_classes_of_their_folders(files: Callable[[str, bytes], str]) -> None:
    for name, shade in (("dark/a.png", 10), ("dark/b.png", 20), ("light/c.png", 250)):
        root = files(name, picture(shade))
    manifest = discover(root)
    assert manifest.classes == ("dark", "light")
    found = {(int(i.max()), int(n)) for b in read(manifest) for i, n in zip(b["image"], b["label"], strict=True)}
    assert found == {(10, 0), (20, 0), (250, 1)}


def test_a_snapshot_outlives_the_files(cluster: Hdfs, files: Callable[[str, bytes], str], tmp_path: Path) -> None:
    root = files("a.npz", npz(0))
    manifest = discover(root)
    store = open_store((tmp_path / "kept").as_uri())
    assert asyncio.run(snapshot(manifest, store)).new_files == 1
    cluster.put("/" + root.rpartition("/")[2] + "/a.npz", npz(5))
    with pytest.raises(DomainError, match="has changed since the manifest was made") as caught:
        list(read(manifest))
    assert caught.value.reason is Reason.DIGEST_MISMATCH
    kept = asyncio.run(recorded(store, manifest.digest))
    assert [x for batch in read(kept, source=Stored(store)) for x in batch["x"]] == list(range(1000))


@pytest.mark.parametrize("name", ["nothing", "nothing.npz"])
def test_what_is_not_there_is_named(cluster: Hdfs, files: Callable[[str, bytes], str], name: str) -> None:
    with pytest.raises(DomainError, match=f"there is no {cluster.url}/{name}") as caught:
        discover(f"{cluster.url}/{name}")
    assert caught.value.reason is Reason.DATA_NOT_FOUND


def killed_at(monkeypatch: pytest.MonkeyPatch, processes: list[Process], block: int) -> None:
    """Kills them when so many blocks have been read, within a block."""
    monkeypatch.setattr(sources, "CHUNK_BYTES", BLOCK_BYTES // 4)
    read_before = hdfs._driver()._open  # type: ignore[attr-defined]

    def _open(self: object, path: str, mode: str = "rb", **more: object) -> object:
        file = read_before(self, path, mode, **more)
        plain, count = file.read, 0

        def counted(size: int = -1) -> bytes:
            nonlocal count
            count += 1
            if count == 4 * block + 2:
                for process in processes:
                    process.kill()
            return plain(size)

        file.read = counted
        return file

    monkeypatch.setattr(hdfs._driver(), "_open", _open)


def test_a_read_goes_on_with_the_other_copy_and_without_any_says_who_does_not_answer(
    cluster: Hdfs, files: Callable[[str, bytes], str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    manifest = discover(files("large.npz", npz(0, LARGE)))
    one, other = cluster.datanodes
    with monkeypatch.context() as patched:
        killed_at(patched, [one], block=4)
        assert sum(int(batch["x"].sum()) for batch in read(manifest, rows=100_000)) == LARGE * (LARGE - 1) // 2
    assert not one.alive

    with monkeypatch.context() as patched:
        killed_at(patched, [other], block=4)
        with pytest.raises(
            DomainError, match=r"large\.npz cannot be read: .*no DataNode that holds it answers"
        ) as caught:
            list(read(manifest, source=Places(tmp_path)))
    assert caught.value.reason is Reason.STORE_UNAVAILABLE
    assert len(caught.value.message) < 300
    assert not list(tmp_path.iterdir()), "half a file is no file"

    cluster.start()
    assert sum(len(batch["x"]) for batch in read(manifest, source=Places(tmp_path))) == LARGE


def test_a_namenode_that_comes_back_is_waited_for(cluster: Hdfs, files: Callable[[str, bytes], str]) -> None:
    root = files("a.npz", npz(0))
    cluster.namenode.kill()
    back = threading.Timer(1, cluster.namenode.start)
    back.start()
    try:
        # Names only: where blocks lie, a NameNode knows again when the DataNodes have told it.
        assert places.listing(root) == [f"{root}/a.npz"]
    finally:
        back.join()


def test_a_namenode_that_stays_away_is_named(
    cluster: Hdfs, files: Callable[[str, bytes], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = files("a.npz", npz(0))
    manifest = discover(root)
    cluster.namenode.kill()
    monkeypatch.setitem(hdfs.PATIENCE, "dfs.client.failover.max.attempts", "2")
    for attempt in (lambda: list(read(manifest)), lambda: discover(root)):
        with pytest.raises(DomainError, match=f"{root}.* cannot be read: .*[Cc]onnection refused") as caught:
            attempt()
        assert caught.value.reason is Reason.STORE_UNAVAILABLE
        assert "\n" not in caught.value.message
