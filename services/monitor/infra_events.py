"""What happened to the machines, and must not be held against a version. Pure: it is told what lies in Consul.

A key that vanished together with everything else (another epoch of the store) is no loss of a node.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum

from services.monitor.documents import READY, NodeStatus


class Kind(StrEnum):
    """Of disturbances."""

    NODE_LOST = "node_lost"
    GATEWAY_SILENT = "gateway_silent"
    COUNTERS_RESET = "counters_reset"
    MONITOR_RESTARTED = "monitor_restarted"


@dataclass(frozen=True, slots=True)
class Disturbance:
    """Something that changes what is seen of versions without their doing. Empty `model`: of all models."""

    time: float
    kind: Kind
    message: str
    model: str = ""
    version: int = 0
    gateway: str = ""


class Nodes:
    """Which versions were ready where."""

    def __init__(self) -> None:
        self._ready: dict[str, tuple[str, NodeStatus]] = {}

    def see(self, key: str, status: NodeStatus | None, epoch: str, now: float) -> Disturbance | None:
        """A status key as it is now; the loss, if it is one."""
        before = self._ready.get(key)
        if status is None and before is not None and before[0] != epoch:
            return None
        if status is not None and status.state == READY:
            self._ready[key] = (epoch, status)
        else:
            self._ready.pop(key, None)
        if before is None or (key in self._ready and status is not None and status.version == before[1].version):
            return None
        return _lost(key, before[1], now)

    @property
    def ready(self) -> Collection[str]:
        """The keys under which a version is ready."""
        return self._ready.keys()

    def forget_all_but(self, keys: Collection[str]) -> None:
        """Remembers only these keys."""
        self._ready = {key: known for key, known in self._ready.items() if key in keys}


def _lost(key: str, status: NodeStatus, now: float) -> Disturbance:
    node = key.split("/")[2]
    message = f"version {status.version} is no longer ready on node {node}"
    return Disturbance(now, Kind.NODE_LOST, message, status.model, status.version)
