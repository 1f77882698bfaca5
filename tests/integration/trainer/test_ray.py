"""The embedded Ray: on loopback only, with a token, gone with its parent; and a cluster's nodes as they are told."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from infra.local.place import CHECKOUT
from services.trainer.engine import cluster as clusters
from services.trainer.engine import marks
from services.trainer.engine.cluster import Cluster

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(300)]

TOKEN = "0123456789abcdef" * 2


@dataclass
class Head:
    """One head, as the trainer starts it."""

    process: subprocess.Popen[bytes]
    address: str
    mark: str
    folder: Path

    def pids(self) -> list[int]:
        return marks.find(self.mark)


@pytest.fixture
def head(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Head]:
    for name, value in (("RAY_AUTH_MODE", "token"), ("RAY_AUTH_TOKEN", TOKEN), ("RAY_USAGE_STATS_ENABLED", "0")):
        monkeypatch.setenv(name, value)
    mark = f"test-{os.getpid()}-{time.monotonic_ns()}"
    folder = Path(f"/tmp/bmase-test-ray-{os.getpid()}")  # its sockets' paths may have 107 characters
    process = subprocess.Popen(
        [sys.executable, "-m", "services.trainer.engine.head", "--cpus", "3", "--folder", str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=CHECKOUT,
        env={**os.environ, "HOME": str(tmp_path), marks.MARK: mark, "PYTHONPATH": f"{CHECKOUT}:{CHECKOUT / 'sdk'}"},
    )
    assert process.stdout is not None
    yield Head(process, process.stdout.readline().decode().strip(), mark, folder)
    marks.kill(mark)
    process.wait()
    subprocess.run(["rm", "-rf", str(folder)], check=True)


async def test_a_cluster_tells_its_nodes_and_is_silent_when_it_is_gone(
    head: Head, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clusters, "SILENT_AFTER", 5.0)
    cluster = Cluster(head.address)
    assert cluster.nodes is None
    cluster.open()
    try:
        async with asyncio.timeout(120):
            while not cluster.nodes:
                await asyncio.sleep(0.1)
        ((_, amount),) = cluster.nodes.items()
        assert amount.millicpus == 3000
        assert amount.memory_bytes > 2**28
        for pid in head.pids():
            if Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0].endswith(b"/raylet"):
                os.kill(pid, signal.SIGKILL)
        async with asyncio.timeout(120):
            while cluster.nodes is not None or head.process.poll() is None:  # without it, the rest is of no use
                await asyncio.sleep(0.1)
    finally:
        await cluster.close()


def test_it_listens_on_loopback_only_and_is_gone_with_its_parent(head: Head) -> None:
    assert head.address.startswith("127.0.0.1:")
    port = int(head.address.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=5):
        pass
    for other in _addresses():
        with pytest.raises((ConnectionError, TimeoutError)), socket.create_connection((other, port), timeout=5):
            pass
    assert len(head.pids()) > 2
    assert head.process.stdin is not None
    head.process.stdin.close()  # as when the parent dies
    deadline = time.monotonic() + 60
    while head.pids() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert head.pids() == []
    assert not head.folder.exists()


def _addresses() -> list[str]:
    """Of this machine, but loopback."""
    found = {str(info[4][0]) for info in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)}
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # nothing is sent
            found.add(probe.getsockname()[0])
        except OSError:
            pass
    return sorted(address for address in found if not address.startswith("127."))
