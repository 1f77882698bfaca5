"""Whether somebody listens at an address: asked of plain TCP, as Ray itself takes a minute to say no, or aborts."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from typing import Any

PATIENCE = 2.0  # seconds; a machine that is off does not even refuse


def refusal(address: str, patience: float = PATIENCE) -> str:
    """Why nobody listens at host:port, in words; "" when somebody does."""
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=patience):
            return ""
    except TimeoutError:
        return f"no answer within {patience:g} s"
    except OSError as error:
        return (error.strerror or str(error)).lower()


def raylet(node: Mapping[str, Any]) -> str:
    """Where the daemon of one of `ray.nodes()` listens."""
    return f"{node['NodeManagerAddress']}:{node['NodeManagerPort']}"
