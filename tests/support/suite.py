"""The whole platform as a test fixture: a suite of its own on private ports, driven through the real command line."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from bmase import Client

from infra.local import leftovers, ports
from infra.local.place import CHECKOUT, DATA_VARIABLE, Identity, Place, read_json, write_json
from infra.local.supervision import Supervisor
from tests.support.ports import suite_ports

BMASE = str(Path(sys.executable).parent / "bmase")
NODES = ("blue", "green")
UP_SECONDS = 120
POLL_SECONDS = 0.05


class Suite:
    """Started with `up`, ended with `down`; between them every program can be killed, frozen, stopped and started."""

    def __init__(
        self,
        root: Path,
        nodes: Sequence[str] = NODES,
        settings: str = "",
        *,
        observed: bool = False,
        trains: bool = False,
    ) -> None:
        self.place = Place.at(root)
        self.nodes = tuple(nodes)
        self.observed, self.trains = observed, trains
        self.place.make()
        if settings:
            self.place.settings.write_text(settings)
        write_json(self.place.ports, suite_ports(ports.defaults(self.nodes, observed, trains)))

    def up(self) -> Self:
        """Starts what does not run, waits until it serves."""
        parts = [*(["--observability"] if self.observed else []), *(["--training"] if self.trains else [])]
        self.cli("up", "--nodes", ",".join(self.nodes), *parts, timeout=UP_SECONDS)
        return self

    def down(self) -> None:
        """Stops everything and proves that nothing is left."""
        self.close()
        self.cli("down")
        assert leftovers.find(self.id) == [], "processes of the suite outlived it"

    def end(self) -> None:
        """Kills everything, where nothing is said about how it ends: quicker than in good order."""
        self.close()
        if (identity := Identity.read(self.place)) is not None:
            leftovers.end(identity.id, patience=0)

    def close(self) -> None:
        """Ends this process's own connection."""
        if "client" in self.__dict__:
            self.client.close()
            del self.__dict__["client"]

    @property
    def id(self) -> str:
        """The mark of this suite's processes."""
        identity = Identity.read(self.place)
        assert identity is not None
        return identity.id

    @property
    def endpoints(self) -> dict[str, str]:
        """`host:port` by name, as written for clients."""
        return {name: str(address) for name, address in read_json(self.place.endpoints).items()}

    @property
    def address(self) -> str:
        """Where clients connect."""
        return self.endpoints["gateway"]

    @cached_property
    def client(self) -> Client:
        """The SDK's blocking client."""
        return Client(self.address)

    @property
    def environment(self) -> dict[str, str]:
        """What makes any command use this suite."""
        return {**os.environ, DATA_VARIABLE: str(self.place.root), "BMASE_ADDRESS": self.address_or_nothing}

    @property
    def address_or_nothing(self) -> str:
        """Empty before the first start."""
        return self.endpoints.get("gateway", "")

    def run(self, *words: str, timeout: float = 60) -> subprocess.CompletedProcess[str]:
        """`bmase WORDS`, whatever comes of it."""
        return subprocess.run(
            [BMASE, *words],
            env=self.environment,
            cwd=CHECKOUT,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def cli(self, *words: str, timeout: float = 60) -> Any:
        """`bmase WORDS --json`, which must succeed; its document."""
        done = self.run(*words, "--json", timeout=timeout)
        assert done.returncode == 0, f"bmase {' '.join(words)} exited {done.returncode}\n{done.stdout}\n{done.stderr}"
        return json.loads(done.stdout)

    @property
    def supervisor(self) -> Supervisor:
        """Control of the programs."""
        return Supervisor(self.place)

    def pid(self, program: str) -> int:
        """The program's process now; 0 when there is none."""
        return self.supervisor.states()[program].pid

    def kill(self, program: str) -> int:
        """SIGKILL; the pid that was killed."""
        return self.signal(program, signal.SIGKILL)

    def signal(self, program: str, number: signal.Signals) -> int:
        """Sends a signal to the program alone."""
        pid = self.pid(program)
        assert pid > 0, f"{program} does not run"
        os.kill(pid, number)
        return pid

    def stop(self, *programs: str) -> None:
        """Stops programs and keeps them stopped."""
        self.supervisor.stop_stage(programs)

    def start(self, *programs: str) -> None:
        """Starts stopped programs; readiness is waited for by `until`."""
        for name in programs:
            self.supervisor.start_program(name)

    def kill_everything(self) -> None:
        """SIGKILL to every process of the suite, supervisord first, as when a machine loses power."""
        supervisor = int(self.place.supervisord_pid.read_text())
        os.kill(supervisor, signal.SIGKILL)
        while pids := leftovers.find(self.id):
            for pid in pids:
                leftovers.send(pid, signal.SIGKILL)
            time.sleep(POLL_SECONDS)

    def log(self, program: str) -> str:
        """All that a program has said."""
        return self.place.log(program).read_text(errors="replace")

    def status(self) -> Mapping[str, Mapping[str, Any]]:
        """`bmase status` by program."""
        done = self.run("status", "--json")
        return {row["name"]: row for row in json.loads(done.stdout)["programs"]}

    def until(self, reached: Callable[[], Any], what: str, timeout: float = 60) -> float:
        """Waits until `reached()` is true (an exception counts as not yet); seconds that it took."""
        begun = time.monotonic()
        last: Any = None
        while time.monotonic() - begun < timeout:
            try:
                last = reached()
            except Exception as error:
                last = error
            else:
                if last:
                    return time.monotonic() - begun
            time.sleep(POLL_SECONDS)
        raise AssertionError(f"not within {timeout} s: {what}; last: {last!r}")

    def until_ready(self, *programs: str, timeout: float = 60) -> float:
        """Waits until the programs (none named: all) answer."""

        def ready() -> bool:
            rows = self.status()
            return all(rows[name]["ready"] for name in programs or rows)

        return self.until(ready, f"{', '.join(programs) or 'all programs'} ready", timeout)
