"""Where samples are kept, by URL.

    memory:                              in this process: gone with it, and bounded by its memory (the default)
    mongodb://host:port/database         a document store; without a database in the URL: `bmase`

Both keep the same promises, which one test suite proves on either: a page goes on after the last id that was seen,
whatever came or went meanwhile; what is older than a model's retention is not shown, even before it is removed; a write
that is repeated changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol
from urllib.parse import urlsplit

from services.monitor.samples.model import Batch, Query, Rules, Sample

SCHEMES = ("memory", "mongodb", "mongodb+srv")


class SampleStore(Protocol):
    """Every method raises STORE_UNAVAILABLE when the store cannot answer within its few seconds."""

    async def write(self, batch: Batch) -> None:
        """All of it, or an error, after which the same batch is written again."""

    async def page(self, query: Query) -> list[Sample]:
        """At most `limit` samples, latest first; `raw` only when asked for."""

    async def count(self, query: Query) -> int:
        """How many there are, counted up to `limit`."""

    async def find(self, model: str, request_ids: Sequence[str]) -> dict[str, Sample]:
        """The latest sample of each request that is known, without tensors and raw bytes."""

    async def enforce(self, model: str, rules: Rules) -> int:
        """Removes what the rules do not allow (any more), oldest first for size; the bytes that are left."""

    async def sizes(self) -> Mapping[str, int]:
        """Bytes kept by model."""

    async def close(self) -> None:
        """Lets go of connections."""


def open_store(url: str, memory_bytes: int = 256 * 1024 * 1024) -> SampleStore:
    """The store at a URL; never waits for it. Raises ValueError for a URL that names none."""
    scheme = urlsplit(url).scheme
    if scheme not in SCHEMES:
        raise ValueError(f"samples_url must begin with one of {', '.join(f'{s}:' for s in SCHEMES)}")
    if scheme == "memory":
        from services.monitor.samples.memory import MemoryStore  # noqa: PLC0415 - only the chosen store is loaded

        return MemoryStore(memory_bytes)
    from services.monitor.samples.mongo import MongoStore  # noqa: PLC0415

    return MongoStore(url)
