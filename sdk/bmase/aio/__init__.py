"""The asyncio client, method for method the same as the blocking one."""

from __future__ import annotations

from bmase.aio.client import Client

__all__ = ["Client"]
