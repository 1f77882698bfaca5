"""Who sent a request, as far as it matters for the choice of its version. Pure.

On a sticky route that is what the gateway hashes, and nothing else: one address that names many clients is one client.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

# What a gateway says of a sticky route: the header that it hashes, or this.
BY_ADDRESS = "source address"
_NAMES = frozenset({"x-bmase-client", "x-bmase-tenant"})


def client(said: Mapping[str, str]) -> str:
    """By what a record of a gateway's log says: what the route hashes, else its own name, else its address."""
    return _stuck_by(said) or said.get("client") or said.get("address", "")


def unnamed(said: Mapping[str, str]) -> bool:
    """Whether the route is sticky and there was nothing to hash, so that the version was chosen at random."""
    return bool(said.get("sticky")) and not _stuck_by(said)


def _stuck_by(said: Mapping[str, str]) -> str:
    """The client by what its requests stick to; empty: this request had no such header, or the route is not sticky.

    A header may be anything, a session's secret too: of one that is not meant to be shown there is a digest.
    """
    sticky, key = said.get("sticky", ""), said.get("sticky_key", "")
    if sticky == BY_ADDRESS:
        return said.get("address", "")
    if not sticky or not key:
        return ""
    return key if sticky.lower() in _NAMES else f"{sticky}:{hashlib.sha256(key.encode()).hexdigest()[:16]}"
