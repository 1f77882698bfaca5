"""Who sent a request, as far as it matters for the choice of its version. Pure.

On a sticky route that is what the gateway hashes, and nothing else: one address that names many clients is one client.
"""

from __future__ import annotations

import hashlib

# What a gateway says of a sticky route: the header that it hashes, or this.
BY_ADDRESS = "source address"
_NAMES = frozenset({"x-bmase-client", "x-bmase-tenant"})


def hashed(sticky: str, key: str, address: str) -> str:
    """The client by what its requests stick to; empty: this request had no such header, or the route is not sticky.

    A header may be anything, a session's secret too: of one that is not meant to be shown there is a digest.
    """
    if sticky == BY_ADDRESS:
        return address
    if not sticky or not key:
        return ""
    return key if sticky.lower() in _NAMES else f"{sticky}:{hashlib.sha256(key.encode()).hexdigest()[:16]}"
