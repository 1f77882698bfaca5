"""Puts a file into a blob store and streams it out; prints the growth of the process and both speeds in MiB(/s)."""

from __future__ import annotations

import asyncio
import resource
import sys
import time
from pathlib import Path

from services.kit.blob import open_store

MIB = 1024 * 1024


def peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


async def main(url: str, source: Path) -> None:
    store, size = open_store(url), source.stat().st_size / MIB
    await store.check()
    before, started = peak(), time.monotonic()
    assert await store.put_if_absent("streamed", source)
    put = size / (time.monotonic() - started)
    started, read = time.monotonic(), 0
    async for piece in store.stream("streamed"):
        read += len(piece)
    got = size / (time.monotonic() - started)
    assert read == source.stat().st_size
    print(peak() - before, round(put), round(got))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2])))
