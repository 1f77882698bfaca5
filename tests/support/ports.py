"""Free TCP ports on loopback.

They are drawn below the range from which the kernel serves outgoing connections: one drawn from that range may be in
use by a client by the time a server listens on it, or starts again on it. Test processes that run beside each other
draw from parts of their own, and none draws a port twice: whoever drew it may not listen yet, or no more for a while.
Whole suites take blocks of neighbours, above those of single servers.
"""

from __future__ import annotations

import os
import random
import socket
from collections import deque
from collections.abc import Mapping
from contextlib import ExitStack

from infra.local import ports

SINGLE = range(10_000, ports.OTHERS.start)
BLOCK = 64
TRIES = 1000
# Long enough for the last connections of a suite to be forgotten.
REMEMBERED_BLOCKS = 40
_drawn: set[int] = set()
_blocks: deque[int] = deque(maxlen=REMEMBERED_BLOCKS)


def free_ports(count: int) -> list[int]:
    """Ports nobody listens on now, all different: held open together while they are drawn."""
    with ExitStack() as held:
        return [_draw(held) for _ in range(count)]


def free_port() -> int:
    """One such port."""
    return free_ports(1)[0]


def suite_ports(wanted: Mapping[str, int]) -> dict[str, int]:
    """Ports for a whole suite, never the documented ones: a developer's own suite may want them."""
    place, among = _place()

    def is_ours(port: int) -> bool:
        return port in ports.OTHERS and _block(port) % among == place and _block(port) not in _blocks

    chosen = ports.choose(wanted, {}, lambda port: is_ours(port) and ports.is_free(port))
    _blocks.append(_block(min(chosen.values())))
    return chosen


def _block(port: int) -> int:
    return (port - ports.OTHERS.start) // BLOCK


def _place() -> tuple[int, int]:
    """Which process of how many in one run."""
    return (
        int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")),
        int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")),
    )


def _own() -> range:
    """The part of this process among those of one run."""
    place, among = _place()
    return SINGLE[place::among]


def _draw(held: ExitStack) -> int:
    for _ in range(TRIES):
        port = random.choice(_own())
        if port in _drawn:
            continue
        holder = held.enter_context(socket.socket())
        try:
            holder.bind(("127.0.0.1", port))
        except OSError:
            continue
        _drawn.add(port)
        return port
    raise AssertionError("no free port below the ephemeral range")
