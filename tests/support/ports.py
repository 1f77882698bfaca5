"""Free TCP ports on loopback.

They are drawn below the range from which the kernel serves outgoing connections: one drawn from that range may be in
use by a client by the time a server listens on it, or starts again on it.
"""

from __future__ import annotations

import random
import socket
from contextlib import ExitStack

BELOW_EPHEMERAL = range(12_000, 32_000)
TRIES = 1000


def free_ports(count: int) -> list[int]:
    """Ports nobody listens on now, all different: held open together while they are drawn."""
    with ExitStack() as held:
        return [_draw(held) for _ in range(count)]


def free_port() -> int:
    """One such port."""
    return free_ports(1)[0]


def _draw(held: ExitStack) -> int:
    for _ in range(TRIES):
        port = random.choice(BELOW_EPHEMERAL)
        holder = held.enter_context(socket.socket())
        try:
            holder.bind(("127.0.0.1", port))
        except OSError:
            continue
        return port
    raise AssertionError("no free port below the ephemeral range")
