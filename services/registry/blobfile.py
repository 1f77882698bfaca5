"""An artefact as a file for code that reads, skips and does not know of event loops."""

from __future__ import annotations

import asyncio
import io

from services.registry.artefacts import Artefact, Artefacts

BLOCK_BYTES = 256 * 1024
# A block is asked for once it is needed; a reader that goes on in order gets larger ones.
MAX_BLOCK_BYTES = 4 * 1024 * 1024


class BlobFile(io.RawIOBase):
    """Read-only and seekable; used in a thread while `loop` runs in another. What is skipped is never fetched."""

    def __init__(self, artefacts: Artefacts, artefact: Artefact, loop: asyncio.AbstractEventLoop) -> None:
        self._artefacts = artefacts
        self._artefact = artefact
        self._loop = loop
        self._at = 0
        self._block = b""
        self._block_at = 0
        self._ahead = BLOCK_BYTES

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        if whence != io.SEEK_SET:
            raise io.UnsupportedOperation("only from the beginning")
        self._at = offset
        return offset

    def read(self, size: int = -1) -> bytes:
        if self.closed:
            raise ValueError("nobody wants to know any more")
        wanted = self._artefact.size - self._at if size < 0 else size
        start = self._at - self._block_at
        if not 0 <= start <= start + wanted <= len(self._block):
            self._fetch(wanted)
            start = 0
        piece = self._block[start : start + wanted]
        self._at += len(piece)
        return piece

    def _fetch(self, wanted: int) -> None:
        in_order = self._at == self._block_at + len(self._block)
        self._ahead = min(MAX_BLOCK_BYTES, self._ahead * 2) if in_order else BLOCK_BYTES
        length = max(wanted, self._ahead)
        self._block = asyncio.run_coroutine_threadsafe(self._bytes(length), self._loop).result()
        self._block_at = self._at

    async def _bytes(self, length: int) -> bytes:
        return b"".join([piece async for piece in self._artefacts.stream(self._artefact, self._at, length)])
