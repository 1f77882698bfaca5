"""Free TCP ports on loopback.

They are drawn below the range from which the kernel serves outgoing connections: one drawn from that range may be in
use by a client by the time a server listens on it, or starts again on it. Test processes that run beside each other
draw from parts of their own, and none draws a port twice: whoever drew it may not listen yet, or no more for a while.
"""

from __future__ import annotations

import os
import random
import socket
from contextlib import ExitStack

BELOW_EPHEMERAL = range(12_000, 32_000)
TRIES = 1000
_drawn: set[int] = set()


def free_ports(count: int) -> list[int]:
    """Ports nobody listens on now, all different: held open together while they are drawn."""
    with ExitStack() as held:
        return [_draw(held) for _ in range(count)]


def free_port() -> int:
    """One such port."""
    return free_ports(1)[0]


def _own() -> range:
    """The part of this process among those of one run."""
    place = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    return BELOW_EPHEMERAL[place :: int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))]


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
