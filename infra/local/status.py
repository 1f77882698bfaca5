"""What runs now: supervisord's view, each program's own answer, and where it listens."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from infra.local.lifecycle import load
from infra.local.place import Place
from infra.local.probes import Probes, ask
from infra.local.programs import programs
from infra.local.suite import Suite
from infra.local.supervision import ProcessState, Supervisor

# The port that tells most about where a program is, by the program's name.
ADDRESSES = {
    "consul": "consul",
    "documents": "documents",
    "registry": "registry",
    "patcher": "patcher",
    "monitor": "monitor",
    "trainer": "trainer",
    "gateway": "control",
    "envoy": "gateway",
    "prometheus": "prometheus",
    "alertmanager": "alertmanager",
    "grafana": "grafana",
}


@dataclass(frozen=True)
class ProgramStatus:
    """One program: `ready` is its own answer, `detail` what it said when it is not."""

    name: str
    state: str
    ready: bool
    pid: int
    uptime_seconds: int
    memory_mb: int
    address: str
    detail: str


@dataclass(frozen=True)
class SuiteStatus:
    """The whole suite; `ready` only when every program is."""

    data_dir: str
    running: bool
    ready: bool
    endpoint: str
    programs: list[ProgramStatus]

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)


def look(place: Place) -> SuiteStatus:
    """The state now; a suite that never ran is simply not running."""
    suite = load(place)
    supervisor = Supervisor(place)
    if suite is None or not supervisor.alive():
        return SuiteStatus(str(place.root), False, False, "", [])
    states = supervisor.states()
    answers = asyncio.run(_ask_all(suite))
    rows = [_status(suite, p.name, states, answers) for p in programs(suite) if p.name in states]
    return SuiteStatus(str(place.root), True, all(row.ready for row in rows), suite.address("gateway"), rows)


async def _ask_all(suite: Suite) -> dict[str, str]:
    async with Probes(suite) as probes:
        named = probes.all()
        return dict(zip(named, await asyncio.gather(*(ask(p) for p in named.values())), strict=True))


def _status(suite: Suite, name: str, states: Mapping[str, ProcessState], answers: Mapping[str, str]) -> ProgramStatus:
    state = states[name]
    answer = answers.get(name, "")
    return ProgramStatus(
        name=name,
        state=state.state.lower(),
        ready=state.runs and not answer,
        pid=state.pid,
        uptime_seconds=max(0, int(time.time() - state.since)) if state.runs else 0,
        memory_mb=memory_mb(state.pid),
        address=suite.address(_port_name(name)),
        detail=answer,
    )


def _port_name(program: str) -> str:
    if program in ADDRESSES:
        return ADDRESSES[program]
    kind, _, node = program.partition("-")
    return f"{node}_grpc" if kind == "triton" else f"{node}_agent"


def memory_mb(pid: int) -> int:
    """Resident memory of one process; 0 when it is gone."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError, ValueError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE") // 2**20
