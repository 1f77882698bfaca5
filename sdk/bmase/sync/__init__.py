"""The blocking client."""

from __future__ import annotations

from bmase.sync.client import Client

__all__ = ["Client"]
