"""A server comes up with its models, with or without broken ones among them, also after it was killed."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tritonclient.utils import InferenceServerException

from tests.integration.triton.test_onnx_values import infer
from tests.support import onnx_models
from tests.support.triton import Triton

ONES = np.ones((1, 4), np.float32)
SLOW_PORTS = [("x", "FP32", [4])], [("y", "FP32", [4])]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Triton]:
    """A server of the test's own, not started yet, with two models in its repository."""
    server = Triton(tmp_path, extra=["--no-auto-complete"])
    onnx_models.write_affine(server.repository, "one", 1, 1)
    onnx_models.write_affine(server.repository, "two", 2, 2)
    yield server
    server.kill()


def test_the_first_word_of_readiness_comes_with_the_models_loaded(server: Triton) -> None:
    server.start(models=["one", "two"])
    with server.client() as client:
        assert client.is_model_ready("one")
        assert client.is_model_ready("two")
    assert infer(server, "two", ONES).tolist() == [[4.0] * 4]


def test_only_listed_models_are_loaded(server: Triton) -> None:
    server.start(models=["one"])
    with server.client() as client:
        assert not client.is_model_ready("two")


def test_broken_and_absent_models_do_not_keep_the_others_from_serving(server: Triton) -> None:
    onnx_models.write(server.repository, "broken", b"junk", onnx_models.config_text("broken", *SLOW_PORTS))
    server.start(models=["broken", "absent", "one", "*", "../one"])
    assert infer(server, "one", ONES).tolist() == [[2.0] * 4]
    with server.client() as client:
        assert not client.is_model_ready("broken")
        assert not client.is_model_ready("two"), "a star is no name and loads nothing"
    log = server.process.log.read_text()
    for name in ("absent", "*", "../one"):
        assert f"model {name!r} has no folder in the repository; left out" in log


@pytest.mark.parametrize("content", ["not json", '{"one": 1}', "[1, 2]"])
def test_a_models_file_that_cannot_be_read_is_said_and_survived(server: Triton, content: str) -> None:
    server.models_file.write_text(content)
    server.start()
    with server.client() as client:
        assert not client.is_model_ready("one")
    assert "warning: the models file is not" in server.process.log.read_text()


def test_a_killed_server_is_back_with_its_models_and_leaves_no_shared_memory(server: Triton) -> None:
    server.start(models=["one", "two"])
    prefix = f"bmase_triton_{server.process.pid}_"
    assert regions(prefix), "the backend keeps its tensors in regions named after the server"
    server.process.kill()
    begun = time.monotonic()
    server.start()
    assert time.monotonic() - begun < 15
    assert infer(server, "one", ONES).tolist() == [[2.0] * 4]
    assert infer(server, "two", ONES).tolist() == [[4.0] * 4]
    assert not regions(prefix)


def test_a_server_told_to_stop_finishes_what_it_was_given(server: Triton) -> None:
    config = onnx_models.config_text("slow", *SLOW_PORTS, max_batch_size=1)
    onnx_models.write(server.repository, "slow", onnx_models.slow(10_000), config)
    server.start(models=["slow"])
    answers: queue.Queue[np.ndarray | Exception] = queue.Queue()
    threads = [threading.Thread(target=lambda: answers.put(infer(server, "slow", ONES))) for _ in range(3)]
    for thread in threads:
        thread.start()
    # Somebody waits in the queue, so somebody is being worked on.
    server.process.wait_until(lambda: waiting(server, "slow") > 0, "queued request")
    os.kill(server.process.pid, signal.SIGTERM)
    time.sleep(0.2)
    with pytest.raises(InferenceServerException):
        infer(server, "slow", ONES)
    for thread in threads:
        thread.join(30)
    assert [answers.get_nowait().tolist() for _ in threads] == [ONES.tolist()] * 3  # type: ignore[union-attr]
    assert server.process.wait_exit(20) in {0, 1}  # 1: the answers were out, unloading took longer than its patience


def waiting(server: Triton, model: str) -> int:
    """Requests in a model's queue, from the server's metrics."""
    with urllib.request.urlopen(server.metrics_url, timeout=5) as response:
        lines = response.read().decode().splitlines()
    name = f'nv_inference_pending_request_count{{model="{model}"'
    return sum(int(float(line.rsplit(" ", 1)[1])) for line in lines if line.startswith(name))


def test_it_listens_on_loopback_only_and_can_leave_http_out(tmp_path: Path) -> None:
    server = Triton(tmp_path, extra=["--no-http"])
    try:
        server.start(models=[])
        addresses = listening(server.process.pid)
        assert addresses == {("127.0.0.1", server.grpc_port), ("127.0.0.1", server.metrics_port)}
    finally:
        server.kill()


def regions(prefix: str) -> list[str]:
    """Shared-memory regions of a server."""
    return [path.name for path in Path("/dev/shm").glob(f"{prefix}*")]


def listening(pid: int) -> set[tuple[str, int]]:
    """IPv4 and IPv6 addresses a process listens on, from /proc."""
    inodes = set()
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed since it was listed
            target = str(entry.readlink())
            if target.startswith("socket:["):
                inodes.add(target[8:-1])
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and fields[9] in inodes:
                address, port = fields[1].split(":")
                # The last four bytes: an IPv4 address, or one mapped into IPv6.
                found.add((".".join(str(byte) for byte in reversed(bytes.fromhex(address[-8:]))), int(port, 16)))
    return found
