"""Which port each part listens on: the documented one when it is free, otherwise another, and from then on that one."""

from __future__ import annotations

import random
import socket
from collections.abc import Callable, Iterable, Mapping

from infra.local.errors import SuiteError

HOST = "127.0.0.1"
DEFAULTS = {
    "gateway": 8080,
    "envoy_admin": 9901,
    "envoy_statistics": 9902,
    "control": 8081,
    "control_metrics": 9081,
    "registry": 8082,
    "registry_metrics": 9082,
    "patcher": 8083,
    "patcher_metrics": 9083,
    "monitor": 8084,
    "monitor_metrics": 9084,
    "documents": 8090,
    "consul": 8500,
    "consul_server": 8300,
    "consul_serf": 8301,
}
TRAINING = {"trainer": 8085, "trainer_metrics": 9085}
OBSERVED = {"prometheus": 9090, "alertmanager": 9093, "grafana": 3000}
NODE_PARTS = ("http", "grpc", "metrics", "agent", "agent_metrics")
NODE_FIRST, NODE_STEP = 8100, 10
# Below what the kernel hands out to outgoing connections, so that a chosen port is still free after a restart.
OTHERS = range(20_000, 32_000)
TRIES = 200


def defaults(nodes: Iterable[str], observed: bool = False, trains: bool = False) -> dict[str, int]:
    """The documented ports: fixed ones, five for each node, and those of what observes and of what trains."""
    ports = DEFAULTS | (OBSERVED if observed else {}) | (TRAINING if trains else {})
    for position, node in enumerate(nodes):
        for offset, part in enumerate(NODE_PARTS):
            ports[f"{node}_{part}"] = NODE_FIRST + NODE_STEP * position + offset
    return ports


def choose(
    wanted: Mapping[str, int],
    remembered: Mapping[str, int],
    is_free: Callable[[int], bool],
    keep: frozenset[str] = frozenset(),
) -> dict[str, int]:
    """A port for each name in `wanted`.

    Remembered ones come first, then the documented; `keep` names those that our own running programs hold. What is
    taken by somebody else moves, all of it into one block of neighbours.
    """
    chosen: dict[str, int] = {}
    for name, default in wanted.items():
        for candidate in (remembered.get(name), default):
            if candidate and candidate not in chosen.values() and (name in keep or is_free(candidate)):
                chosen[name] = candidate
                break
    missing = [name for name in wanted if name not in chosen]
    if missing:
        first = _free_block(len(missing), frozenset(chosen.values()), is_free)
        chosen |= {name: first + offset for offset, name in enumerate(missing)}
    return chosen


def _free_block(length: int, taken: frozenset[int], is_free: Callable[[int], bool]) -> int:
    """Random, so that suites that start at the same moment do not meet."""
    for _ in range(TRIES):
        first = random.randrange(OTHERS.start, OTHERS.stop - length, 64)  # noqa: S311 - not a secret
        if all(port not in taken and is_free(port) for port in range(first, first + length)):
            return first
    raise SuiteError(f"no {length} free ports between {OTHERS.start} and {OTHERS.stop}", hint="stop what holds them")


def is_free(port: int) -> bool:
    """Whether this port could be listened on now; connections that are closing do not count."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
            probe.listen(1)
        except OSError:
            return False
    return True


def endpoints(ports: Mapping[str, int]) -> dict[str, str]:
    """What clients read: `host:port` by name."""
    return {name: f"{HOST}:{port}" for name, port in ports.items()}
