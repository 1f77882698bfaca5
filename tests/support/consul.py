"""A real Consul server that keeps its data, so that restarts, kills and losses of state can be told apart."""

from __future__ import annotations

import json
import shutil
import urllib.request
from pathlib import Path

from infra.runtime import binary, ensure
from tests.support.ports import free_ports
from tests.support.process import Process

CONFIG = {
    "datacenter": "dc1",
    "server": True,
    "bootstrap_expect": 1,
    "bind_addr": "127.0.0.1",
    "client_addr": "127.0.0.1",
    "disable_update_check": True,
    "disable_remote_exec": True,
    "log_level": "INFO",
    "session_ttl_min": "1s",  # production refuses below 10 s; tests of lost sessions need not wait that long
    "performance": {"raft_multiplier": 1},
    "connect": {"enabled": False},
    "gossip_lan": {"probe_interval": "1s"},
}


class Consul:
    """One server on fixed random ports: an address stays right through `stop`, `kill`, `wipe` and a new `start`."""

    def __init__(self, folder: Path) -> None:
        ensure(["consul"])
        self.http_port, server, serf = free_ports(3)
        self.data = folder / "consul-data"
        config = folder / "consul.json"
        folder.mkdir(parents=True, exist_ok=True)
        ports = {"http": self.http_port, "server": server, "serf_lan": serf, "serf_wan": -1, "dns": -1, "grpc": -1}
        config.write_text(json.dumps({**CONFIG, "ports": ports, "data_dir": str(self.data)}), encoding="utf-8")
        self.process = Process(
            [binary("consul"), "agent", f"-config-file={config}"], folder / "consul.log", name="consul"
        )

    @property
    def address(self) -> str:
        """host:port of the HTTP API."""
        return f"127.0.0.1:{self.http_port}"

    @property
    def url(self) -> str:
        """Base URL of the HTTP API."""
        return f"http://{self.address}"

    def start(self) -> Consul:
        """Starts (again, with the data it had) and waits for a leader."""
        self.process.start()
        self.process.wait_until(self.has_leader, "leader", timeout=30)
        return self

    def has_leader(self) -> bool:
        """True when reads and writes are answered."""
        try:
            with urllib.request.urlopen(f"{self.url}/v1/status/leader", timeout=2) as response:
                return bool(json.load(response))
        except (OSError, ValueError):
            return False

    def stop(self) -> None:
        """Ends it in good order."""
        self.process.stop()

    def kill(self) -> None:
        """kill -9."""
        self.process.kill()

    def wipe(self) -> Consul:
        """Kills it and starts it again empty, on the same address: every index starts from small numbers."""
        self.kill()
        shutil.rmtree(self.data, ignore_errors=True)
        return self.start()

    def __enter__(self) -> Consul:
        return self if self.process.alive else self.start()

    def __exit__(self, *_: object) -> None:
        self.kill()
