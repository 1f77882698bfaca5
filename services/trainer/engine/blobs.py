"""The blob store for code that knows no event loop: workers and drivers."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

from bmase.reasons import Reason

from services.kit.blob import open_store
from services.kit.errors import DomainError
from services.trainer.engine.attempt import Kept

Result = TypeVar("Result")
_CHUNK = 2**20
PATIENCE = 600.0  # seconds in which a store that does not answer is asked again
AGAIN = 2.0


def by_digest(prefix: str, digest: str, suffix: str = ".tar") -> str:
    """The key under which a file of this digest is kept."""
    return f"{prefix}{digest.removeprefix('sha256:')}{suffix}"


def patiently(write: Callable[[], Result]) -> Result:
    """What was written, asked again while the store does not answer: hours of training are worth some minutes."""
    until = time.monotonic() + PATIENCE
    while True:
        try:
            return write()
        except DomainError as error:
            if error.reason is not Reason.STORE_UNAVAILABLE or time.monotonic() >= until:
                raise
        time.sleep(AGAIN)


class Blobs:
    """Blocking; each call has an event loop of its own, so it may be used from any thread that has none."""

    def __init__(self, url: str) -> None:
        self._url = url

    def put(self, key: str, file: Path) -> Kept:
        """Keeps the file under the key, as a whole or not at all."""
        digest, size = _digest(file), file.stat().st_size
        _run(self._put(key, file))
        return Kept(key=key, digest=digest, size=size)

    def put_by_digest(self, prefix: str, file: Path, suffix: str = ".tar", step: int = 0) -> Kept:
        """Under a key that tells its digest: what is there already is this."""
        digest = _digest(file)
        key = by_digest(prefix, digest, suffix)
        _run(self._put(key, file))
        return Kept(key=key, digest=digest, size=file.stat().st_size, step=step)

    def replace(self, key: str, file: Path) -> Kept:
        """Instead of what was there."""
        _run(open_store(self._url).delete(key))
        return self.put(key, file)

    def get(self, kept: Kept, file: Path) -> None:
        """Brings it; DIGEST_MISMATCH when it is not what was kept."""
        _run(self._get(kept.key, file))
        if (found := _digest(file)) != kept.digest:
            raise DomainError(Reason.DIGEST_MISMATCH, f"{kept.key} has the digest {found}, not {kept.digest}")

    def copy(self, key: str, file: Path) -> None:
        """Brings what is kept under the key; ARTEFACT_NOT_FOUND."""
        _run(self._get(key, file))

    def delete(self, key: str) -> None:
        """What is not there is deleted already."""
        _run(open_store(self._url).delete(key))

    def delete_all(self, prefix: str) -> None:
        """Everything below it."""
        _run(self._delete_all(prefix))

    async def kept_below(self, prefix: str) -> set[str]:
        """The first segments of what is there below the prefix."""
        return {info.key.removeprefix(f"{prefix}/").split("/")[0] async for info in open_store(self._url).list(prefix)}

    async def _delete_all(self, prefix: str) -> None:
        store = open_store(self._url)
        for key in [info.key async for info in store.list(prefix)]:
            await store.delete(key)

    def read(self, key: str) -> bytes:
        """All of it, for documents; ARTEFACT_NOT_FOUND."""
        return _run(self._read(key))

    def exists(self, key: str) -> bool:
        return _run(self._exists(key))

    def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        """What others do with a store."""
        return _run(work)

    async def _read(self, key: str) -> bytes:
        return b"".join([chunk async for chunk in open_store(self._url).stream(key)])

    async def _exists(self, key: str) -> bool:
        return await open_store(self._url).head(key) is not None

    async def _put(self, key: str, file: Path) -> None:
        await open_store(self._url).put_if_absent(key, file)

    async def _get(self, key: str, file: Path) -> None:
        store = open_store(self._url)
        info = await store.head(key)
        if info is None:
            raise DomainError(Reason.ARTEFACT_NOT_FOUND, f"{key} is not in the trainer's blob store")
        with file.open("wb") as out:
            async for chunk in store.stream(key, 0, info.size):
                out.write(chunk)


def _run(work: Coroutine[Any, Any, Result]) -> Result:
    return asyncio.run(work)


def _digest(file: Path) -> str:
    found = hashlib.sha256()
    with file.open("rb") as content:
        while chunk := content.read(_CHUNK):
            found.update(chunk)
    return f"sha256:{found.hexdigest()}"
