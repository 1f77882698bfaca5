"""Uploads and downloads against a real registry, over links that break and processes that die."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from bmase import Client
from bmase.core import registry as calls
from bmase.errors import BmaseError, Cancelled, NotFound, TransferFailed
from bmase.progress import Phase, Progress
from bmase.transfer import Fetch, Transfer

from tests.support.registry import Registry
from tests.support.relay import Relay

MB = 1_000_000


def _file(path: Path, size: int, seed: int | None = None) -> Path:
    """Random content, different in every run unless a seed is given."""
    source = random.Random(seed) if seed is not None else random.SystemRandom()
    path.write_bytes(source.randbytes(size))
    return path


def _digest(path: Path) -> str:
    return "sha256:" + hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def relay(shared_registry: Registry) -> Iterator[Relay]:
    """A link to the shared registry that can be broken."""
    with Relay(shared_registry.port) as made:
        yield made


@pytest.fixture
def shaky(relay: Relay) -> Iterator[Client]:
    """A client on the other end of that link."""
    with Client(relay.address) as made:
        yield made


@pytest.mark.parametrize("size", [0, 1, 4095, 4097, 1 << 20, (1 << 20) + 1, 5_000_000])
def test_what_goes_up_comes_down(client: Client, tmp_path: Path, size: int) -> None:
    file = _file(tmp_path / "up", size)
    stored = Transfer(client.wire).upload([file])[0]
    assert (stored.digest, stored.size) == (_digest(file), size)
    target = tmp_path / "down" / "deep" / "file"
    Transfer(client.wire).download([Fetch(stored.digest, size, target)])
    assert target.read_bytes() == file.read_bytes()
    assert [p.name for p in target.parent.iterdir()] == ["file"]


def test_what_the_registry_has_is_not_sent(client: Client, tmp_path: Path) -> None:
    file = _file(tmp_path / "f", 3 * MB)
    told: list[Progress] = []
    Transfer(client.wire, told.append).upload([file])
    assert told[-1].phase == Phase.DONE
    told.clear()
    Transfer(client.wire, told.append).upload([file])
    assert {p.phase for p in told} == {Phase.HASH, Phase.PRESENT}


def test_many_files_some_equal_keep_their_order(client: Client, tmp_path: Path) -> None:
    files = [_file(tmp_path / f"f{i}", 300_000, seed=1000 + i % 4) for i in range(12)]
    stored = Transfer(client.wire).upload(files)
    assert [s.digest for s in stored] == [_digest(f) for f in files]
    fetches = [Fetch(s.digest, s.size, tmp_path / "out" / f.name) for s, f in zip(stored, files, strict=True)]
    Transfer(client.wire).download(fetches)
    assert [(tmp_path / "out" / f.name).read_bytes() for f in files] == [f.read_bytes() for f in files]


@pytest.mark.parametrize("cuts", [1, 3])
def test_an_upload_goes_on_where_the_link_broke(shaky: Client, relay: Relay, tmp_path: Path, cuts: int) -> None:
    file = _file(tmp_path / "f", 40 * MB)
    begun: list[int] = []

    def cut_again(progress: Progress) -> None:
        if progress.phase == Phase.UPLOAD and (not begun or begun[-1] != progress.done) and relay.cut_after is None:
            if len(begun) < cuts:
                relay.cut_after = 8 * MB
                relay.passed = 0
            begun.append(progress.done)

    stored = Transfer(shaky.wire, cut_again).upload([file])[0]
    assert stored.digest == _digest(file)
    assert relay.cuts == cuts


def test_a_download_goes_on_where_the_link_broke(shaky: Client, relay: Relay, tmp_path: Path) -> None:
    file = _file(tmp_path / "f", 100 * MB)
    stored = Transfer(shaky.wire).upload([file])[0]
    relay.passed, relay.cut_after = 0, 70 * MB
    Transfer(shaky.wire).download([Fetch(stored.digest, stored.size, tmp_path / "out")])
    assert (tmp_path / "out").read_bytes() == file.read_bytes()
    assert relay.cuts == 1
    # What came before the cut did not come again (the relay counts from there), but for what was still under way.
    assert relay.passed < 60 * MB


def test_a_registry_that_comes_up_late_is_waited_for(shared_registry: Registry, tmp_path: Path) -> None:
    relay = Relay(shared_registry.port)
    timer = threading.Timer(1.0, relay.start)
    timer.start()
    try:
        with Client(relay.address) as client:
            assert Transfer(client.wire).upload([_file(tmp_path / "f", 1000)])
    finally:
        timer.join()
        relay.stop()


UPLOAD = """
import sys
from pathlib import Path
from bmase import Client
from bmase.transfer import Transfer
with Client(sys.argv[1]) as client:
    Transfer(client.wire, lambda p: print(p.phase, p.done, flush=True)).upload([Path(sys.argv[2])])
"""


def test_a_new_process_goes_on_where_a_killed_one_stopped(
    client: Client, shared_registry: Registry, tmp_path: Path
) -> None:
    file = _file(tmp_path / "f", 200 * MB)
    killed = subprocess.Popen(
        [sys.executable, "-c", UPLOAD, shared_registry.address, str(file)], stdout=subprocess.PIPE, text=True
    )
    assert killed.stdout is not None
    for line in killed.stdout:
        phase, done = line.split()
        if phase == "upload" and int(done) > 60 * MB:
            os.kill(killed.pid, signal.SIGKILL)
            break
    killed.wait()
    deadline = time.monotonic() + 10
    while not (kept := client.wire.send(calls.start_upload(_digest(file), 200 * MB)).offset):
        assert time.monotonic() < deadline, "nothing of the first process's bytes was kept"
    begun: list[int] = []
    told = lambda p: begun.append(p.done) if p.phase == Phase.UPLOAD else None  # noqa: E731
    assert Transfer(client.wire, told).upload([file])[0].digest == _digest(file)
    assert begun[0] >= kept > 0


def test_a_killed_registry_keeps_what_it_received(own_registry: Registry, tmp_path: Path) -> None:
    file = _file(tmp_path / "f", 200 * MB)
    killed = threading.Event()
    starts: list[int] = []
    phases: list[Phase] = []

    def kill_once(progress: Progress) -> None:
        if progress.phase == Phase.UPLOAD:
            if phases[-1:] != [Phase.UPLOAD]:
                starts.append(progress.done)
            if progress.done > 60 * MB and not killed.is_set():
                killed.set()
                own_registry.process.kill()
                threading.Thread(target=own_registry.start).start()
        phases.append(progress.phase)

    with own_registry.client() as client:
        assert Transfer(client.wire, kill_once).upload([file])[0].digest == _digest(file)
    assert killed.is_set()
    repeated = [p for a, p in pairwise(phases) if a == p == Phase.UPLOAD]
    assert repeated


def test_a_download_survives_in_its_part_and_damage_to_it_is_found(client: Client, tmp_path: Path) -> None:
    file = _file(tmp_path / "f", 5 * MB)
    stored = Transfer(client.wire).upload([file])[0]
    fetch, part = Fetch(stored.digest, stored.size, tmp_path / "out"), tmp_path / ".out.part"

    def fetched_from() -> list[int]:
        begun: list[int] = []
        Transfer(client.wire, lambda p: begun.append(p.done) if p.phase == Phase.DOWNLOAD else None).download([fetch])
        assert (tmp_path / "out").read_bytes() == file.read_bytes()
        assert not part.exists()
        (tmp_path / "out").unlink()
        return begun

    part.write_bytes(file.read_bytes()[: 2 * MB])
    assert fetched_from()[0] == 2 * MB
    part.write_bytes(b"x" * 2 * MB)
    assert 0 in fetched_from()
    part.write_bytes(b"x" * 9 * MB)
    assert 0 in fetched_from()
    part.write_bytes(file.read_bytes())
    assert fetched_from() == []


def test_a_right_file_stays_and_a_wrong_one_is_replaced(client: Client, tmp_path: Path) -> None:
    file, target = _file(tmp_path / "f", MB), tmp_path / "out"
    stored = Transfer(client.wire).upload([file])[0]
    fetch = Fetch(stored.digest, stored.size, target)
    target.write_bytes(b"x" * MB)
    Transfer(client.wire).download([fetch])
    assert target.read_bytes() == file.read_bytes()
    inode = target.stat().st_ino
    Transfer(client.wire).download([fetch])
    assert target.stat().st_ino == inode
    assert sorted(p.name for p in tmp_path.iterdir()) == ["f", "out"]


def test_two_at_once_into_one_place(client: Client, shared_registry: Registry, tmp_path: Path) -> None:
    file = _file(tmp_path / "f", 20 * MB)
    stored = Transfer(client.wire).upload([file])[0]
    fetch = Fetch(stored.digest, stored.size, tmp_path / "out")
    failures: list[BaseException] = []

    def download() -> None:
        try:
            with shared_registry.client() as own:
                Transfer(own.wire).download([fetch])
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=download) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []
    assert (tmp_path / "out").read_bytes() == file.read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["f", "out"]


def test_two_clients_upload_one_artefact_at_once(shared_registry: Registry, tmp_path: Path) -> None:
    file = _file(tmp_path / "f", 60 * MB)
    stored: list[str] = []

    def upload() -> None:
        with shared_registry.client() as own:
            stored.append(Transfer(own.wire).upload([file])[0].digest)

    threads = [threading.Thread(target=upload) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert stored == [_digest(file)] * 3


def test_a_file_that_changes_meanwhile_is_refused(client: Client, tmp_path: Path) -> None:
    file = _file(tmp_path / "f", 30 * MB)

    def change(progress: Progress) -> None:
        if progress.phase == Phase.UPLOAD and progress.done == 0:
            with file.open("r+b") as out:
                out.seek(25 * MB)
                out.write(b"changed")

    with pytest.raises(TransferFailed, match="changed"):
        Transfer(client.wire, change).upload([file])


def test_a_file_that_vanishes_or_shrinks(client: Client, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Transfer(client.wire).upload([tmp_path / "nothing"])
    file = _file(tmp_path / "f", 30 * MB)

    def shrink(progress: Progress) -> None:
        if progress.phase == Phase.UPLOAD and progress.done == 0:
            os.truncate(file, MB)

    with pytest.raises(TransferFailed, match="changed"):
        Transfer(client.wire, shrink).upload([file])


def test_cancelling_ends_soon_and_keeps_what_was_sent(client: Client, tmp_path: Path) -> None:
    file = _file(tmp_path / "f", 200 * MB)

    def stop(progress: Progress) -> None:
        if progress.phase == Phase.UPLOAD and progress.done > 50 * MB:
            transfer.cancel()

    transfer = Transfer(client.wire, stop)
    begun = time.monotonic()
    with pytest.raises(Cancelled):
        transfer.upload([file])
    assert time.monotonic() - begun < 20
    assert 0 < client.wire.send(calls.start_upload(_digest(file), 200 * MB)).offset < 200 * MB


def test_cancelling_ends_also_when_the_registry_hangs(own_registry: Registry, tmp_path: Path) -> None:
    file = _file(tmp_path / "f", 100 * MB)

    def hang(progress: Progress) -> None:
        if progress.phase == Phase.UPLOAD and progress.done > 10 * MB and not hung.is_set():
            hung.set()
            own_registry.process.suspend()
            threading.Timer(1.0, transfer.cancel).start()

    hung = threading.Event()
    with own_registry.client() as client:
        transfer = Transfer(client.wire, hang)
        begun = time.monotonic()
        with pytest.raises(Cancelled):
            transfer.upload([file])
        assert time.monotonic() - begun < 10
    own_registry.process.resume()


def test_one_failure_ends_all_and_leaves_no_thread(client: Client, tmp_path: Path) -> None:
    file = _file(tmp_path / "f", 100 * MB)
    stored = Transfer(client.wire).upload([file])[0]
    missing = Fetch("sha256:" + "0" * 64, 10, tmp_path / "missing")
    with pytest.raises(NotFound) as failed:
        Transfer(client.wire).download([Fetch(stored.digest, stored.size, tmp_path / "out"), missing])
    assert failed.value.reason == "ARTEFACT_NOT_FOUND"
    assert not [t for t in threading.enumerate() if t.name.startswith("bmase-transfer")]


def test_damage_in_the_registry_does_not_reach_the_target(own_registry: Registry, tmp_path: Path) -> None:
    file = _file(tmp_path / "f", 2 * MB)
    with own_registry.client() as client:
        stored = Transfer(client.wire).upload([file])[0]
        (blob,) = [b for b in (own_registry.data / "blobs").rglob("*") if b.is_file() and b.stat().st_size == 2 * MB]
        blob.chmod(0o600)
        with blob.open("r+b") as out:
            out.write(b"damage")
        with pytest.raises(BmaseError):
            Transfer(client.wire).download([Fetch(stored.digest, stored.size, tmp_path / "out")])
    assert not (tmp_path / "out").exists()


MEMORY = """
import resource, sys
from pathlib import Path
from bmase import Client
from bmase.transfer import Fetch, Transfer
with Client(sys.argv[1]) as client:
    file = Path(sys.argv[2])
    base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    stored = Transfer(client.wire).upload([file])[0]
    Transfer(client.wire).download([Fetch(stored.digest, stored.size, file.with_name("out"))])
    print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - base) // 1024)
"""


def test_memory_does_not_grow_with_the_file(shared_registry: Registry, tmp_path: Path) -> None:
    file = _file(tmp_path / "f", 400 * MB)
    ran = subprocess.run(
        [sys.executable, "-c", MEMORY, shared_registry.address, str(file)], capture_output=True, text=True, check=True
    )
    assert int(ran.stdout) < 120
