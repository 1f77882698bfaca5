"""Fills the disk under a blob store of files and says what became of the blobs."""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from pathlib import Path

from services.kit.blob import BlobStore, Source, open_store
from services.kit.errors import DomainError

TOO_MUCH = b"x" * (8 * 1024 * 1024)


async def reason(store: BlobStore, key: str, source: Source) -> str:
    try:
        await store.put_if_absent(key, source)
    except DomainError as error:
        return error.reason
    return "no error"


async def main(folder: str) -> None:
    store = open_store(f"file://{folder}")
    await store.check()
    await store.put_if_absent("before", b"1")
    with tempfile.NamedTemporaryFile() as file:
        file.write(TOO_MUCH)
        file.flush()
        said = {"bytes": await reason(store, "a", TOO_MUCH), "file": await reason(store, "b", Path(file.name))}
    listed = [info.key async for info in store.list()]
    incoming = len(list((Path(folder) / ".incoming").iterdir()))
    after = await store.put_if_absent("after", b"1")
    print(json.dumps({**said, "listed": listed, "incoming": incoming, "after": after}))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
