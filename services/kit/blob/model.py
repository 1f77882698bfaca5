"""What a blob store is, whatever it stands on."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from bmase.reasons import Reason

from services.kit.errors import DomainError

CHUNK_BYTES = 1024 * 1024

Source = Path | bytes

_SEGMENT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._=@+-]{0,199}")
MAX_KEY_LENGTH = 900


@dataclass(frozen=True, slots=True)
class BlobInfo:
    """One stored blob; `size` in bytes, `modified` in UTC."""

    key: str
    size: int
    modified: datetime


class BlobStore(Protocol):
    """Errors: ARTEFACT_NOT_FOUND, STORAGE_FULL, STORE_UNAVAILABLE, INVALID_FIELD for a key that is no key."""

    async def check(self) -> None:
        """Proves at start that the store can be used with these credentials, or says what is missing."""

    async def put_if_absent(self, key: str, source: Source, *, consume: bool = False) -> bool:
        """Stores bytes or a file whole, durably, or not at all. False: the key exists and was left as it is.

        With `consume` the store may take the file itself instead of a copy; it is gone afterwards in either case.
        """

    def stream(self, key: str, offset: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        """The bytes from `offset`, in pieces of about `CHUNK_BYTES`, in constant memory."""

    async def head(self, key: str) -> BlobInfo | None:
        """Size and time, or None when there is no such blob."""

    async def delete(self, key: str) -> None:
        """Removes the blob; deleting what is not there succeeds."""

    def list(self, prefix: str = "") -> AsyncIterator[BlobInfo]:
        """Every blob whose key begins with `prefix` (whole segments: `a/b` lists `a/b/...`), in no promised order."""


def checked_key(key: str) -> str:
    """A relative path of plain segments: nothing that could leave the store or hide in it."""
    if len(key) > MAX_KEY_LENGTH or not all(_SEGMENT.fullmatch(segment) for segment in key.split("/")):
        raise DomainError(Reason.INVALID_FIELD, f"{key[:80]!r} cannot be the key of a blob", field="key")
    return key


def checked_prefix(prefix: str) -> str:
    """A prefix is a key or nothing; a closing slash is allowed."""
    trimmed = prefix.removesuffix("/")
    return checked_key(trimmed) if trimmed else ""


def not_found(key: str) -> DomainError:
    return DomainError(Reason.ARTEFACT_NOT_FOUND, f"no blob is stored under {key}", metadata={"key": key})


def beyond_end(key: str, offset: int, size: int) -> DomainError:
    return DomainError(
        Reason.UPLOAD_OFFSET_MISMATCH, f"offset {offset} lies beyond the {size} bytes of {key}", field="offset"
    )
