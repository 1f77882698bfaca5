"""A Ray cluster of several nodes on one machine, each at a loopback address of its own, as `ray start` makes it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from services.trainer.engine import marks

RAY = str(Path(sys.executable).parent / "ray")
# Ray replaces 127.0.0.1 by the address that other machines see; it leaves its neighbours alone.
HEAD = "127.0.0.2"


class RayCluster:
    """Nodes by name; whoever uses it needs `environment`. Close it and nothing is left."""

    def __init__(self, port: int) -> None:
        self.address = f"{HEAD}:{port}"
        self._port = port
        self._mark = f"cluster-{os.getpid()}-{time.monotonic_ns()}"
        self._folder = Path(tempfile.mkdtemp(prefix="bmase-rc-"))  # its sockets' paths may have 107 characters
        self._names: list[str] = []
        self.environment = {
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": os.urandom(16).hex(),
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_enable_worker_prestart": "0",
        }

    def head(self) -> None:
        """It has no CPUs, so that no worker is on it."""
        words = ["--head", f"--node-ip-address={HEAD}", f"--port={self._port}", "--num-cpus=0"]
        _ended(self._start("head", [*words, "--include-dashboard=false", f"--temp-dir={self._folder}"]))

    def add(self, name: str, cpus: int) -> None:
        """One more node; one after the other, as those of one machine choose names of sockets in one folder."""
        own = f"127.0.0.{2 + len(self._names)}"
        _ended(self._start(name, [f"--address={self.address}", f"--node-ip-address={own}", f"--num-cpus={cpus}"]))

    def kill(self, name: str) -> None:
        """SIGKILL to the node's raylet; its workers end by themselves."""
        for pid in marks.find(self._marked(name)):
            if Path(f"/proc/{pid}/exe").resolve().name == "raylet":
                os.kill(pid, signal.SIGKILL)
                return
        raise AssertionError(f"{name} has no raylet")

    def node_of(self, pid: int) -> str:
        """The node that has started this process."""
        return next(name for name in self._names if pid in marks.find(self._marked(name)))

    def close(self) -> None:
        for name in self._names:
            marks.kill(self._marked(name))
        shutil.rmtree(self._folder, ignore_errors=True)

    def _start(self, name: str, words: Sequence[str]) -> subprocess.Popen[bytes]:
        self._names.append(name)
        home = self._folder / "home"
        home.mkdir(exist_ok=True)
        mine = {"HOME": str(home), marks.MARK: self._marked(name), "OMP_NUM_THREADS": "1"}
        always = ["--min-worker-port=0", "--max-worker-port=0", f"--object-store-memory={100 * 2**20}"]
        command = [RAY, "start", *words, *always, "--disable-usage-stats"]
        return subprocess.Popen(
            command, env={**os.environ, **self.environment, **mine}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )

    def _marked(self, name: str) -> str:
        return f"{self._mark}-{name}"


def _ended(process: subprocess.Popen[bytes]) -> None:
    said, _ = process.communicate(timeout=180)
    assert process.returncode == 0, said.decode()
