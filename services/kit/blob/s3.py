"""Blobs in a bucket of any S3 (AWS, OSS, MinIO, SeaweedFS), through obstore.

Small bodies are created with `If-None-Match: *`. A multipart upload cannot carry that condition here, so two writers
that race with one large key both finish and the later one stays: harmless, because a key names its content.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable
from pathlib import Path
from typing import TypeVar

import obstore
from bmase.reasons import Reason
from obstore.exceptions import AlreadyExistsError, BaseError, NotFoundError, PreconditionError
from obstore.store import S3Store as Bucket

from services.kit.blob.model import (
    CHUNK_BYTES,
    BlobInfo,
    Source,
    beyond_end,
    checked_key,
    checked_prefix,
    not_found,
)
from services.kit.errors import DomainError

SINGLE_PUT_BYTES = 8 * CHUNK_BYTES
PART_BYTES = 16 * CHUNK_BYTES
PARTS_AT_ONCE = 4

# A blob is read in ranges, the next one on its way while one is handed out: a broken connection costs one range.
RANGE_BYTES = 8 * CHUNK_BYTES

Result = TypeVar("Result")


class S3Store:
    """A blob store in a bucket; see `BlobStore`. `shown` is the URL for messages, without anything secret."""

    def __init__(self, bucket: Bucket, shown: str) -> None:
        self._bucket = bucket
        self._shown = shown

    async def check(self) -> None:
        async def first() -> None:
            async for _ in obstore.list(self._bucket, chunk_size=1):
                return

        try:
            await self._call(first())
        except DomainError:
            # Who cannot start exits next, and CPython 3.11 aborts if a thread of obstore still lets go of its answer.
            await asyncio.sleep(0.1)
            raise

    async def put_if_absent(self, key: str, source: Source, *, consume: bool = False) -> bool:
        checked_key(key)
        small = source if isinstance(source, bytes) else await asyncio.to_thread(_small, source)
        created = await (self._create(key, small) if small is not None else self._upload(key, source))
        if consume and not isinstance(source, bytes):
            await asyncio.to_thread(source.unlink, missing_ok=True)
        return created

    async def stream(self, key: str, offset: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        info = await self.head(key)
        if info is None:
            raise not_found(key)
        if offset > info.size:
            raise beyond_end(key, offset, info.size)
        end = info.size if length is None else min(info.size, offset + length)
        ahead = self._fetch(key, offset, end)
        try:
            while ahead is not None:
                body, offset = await ahead, min(offset + RANGE_BYTES, end)
                ahead = self._fetch(key, offset, end)
                for start in range(0, len(body), CHUNK_BYTES):
                    yield bytes(body[start : start + CHUNK_BYTES])
        finally:
            if ahead is not None:
                ahead.cancel()

    async def head(self, key: str) -> BlobInfo | None:
        try:
            meta = await self._call(obstore.head_async(self._bucket, checked_key(key)), missing=key)
        except DomainError as error:
            if error.reason is Reason.ARTEFACT_NOT_FOUND:
                return None
            raise
        return BlobInfo(key, meta["size"], meta["last_modified"])

    async def delete(self, key: str) -> None:
        try:
            await self._call(obstore.delete_async(self._bucket, checked_key(key)), missing=key)
        except DomainError as error:
            if error.reason is not Reason.ARTEFACT_NOT_FOUND:
                raise

    async def list(self, prefix: str = "") -> AsyncIterator[BlobInfo]:
        pages = obstore.list(self._bucket, prefix=checked_prefix(prefix) or None)
        while True:
            page = await self._call(anext(pages, None))
            if page is None:
                return
            for meta in page:
                yield BlobInfo(meta["path"], meta["size"], meta["last_modified"])

    async def _create(self, key: str, body: bytes) -> bool:
        async def create() -> bool:
            try:
                await obstore.put_async(self._bucket, key, body, mode="create", use_multipart=False)
            except (AlreadyExistsError, PreconditionError, FileExistsError):
                return False
            return True

        return await self._call(create())

    async def _upload(self, key: str, source: Source) -> bool:
        if await self.head(key):
            return False
        upload = obstore.put_async(
            self._bucket, key, source, use_multipart=True, chunk_size=PART_BYTES, max_concurrency=PARTS_AT_ONCE
        )
        await self._call(upload)
        return True

    def _fetch(self, key: str, start: int, end: int) -> asyncio.Task[memoryview] | None:
        if start >= end:
            return None

        async def fetch() -> memoryview:
            body = await self._call(
                obstore.get_range_async(self._bucket, key, start=start, end=min(start + RANGE_BYTES, end)), missing=key
            )
            return memoryview(body)

        return asyncio.create_task(fetch())

    async def _call(self, request: Awaitable[Result], missing: str = "") -> Result:
        try:
            return await request
        except (NotFoundError, FileNotFoundError) as error:  # obstore raises either
            if missing and "NoSuchBucket" not in str(error):
                raise not_found(missing) from error
            raise self._error(error) from error
        except (BaseError, OSError) as error:
            raise self._error(error) from error

    def _error(self, error: Exception) -> DomainError:
        text = str(error)
        reason, cause, hint = explain(text)
        return DomainError(reason, f"the blob store {self._shown} {cause}", hint=hint)


def _small(source: Path) -> bytes | None:
    return source.read_bytes() if source.stat().st_size <= SINGLE_PUT_BYTES else None


def explain(text: str) -> tuple[Reason, str, str]:
    """Reason, cause and next step from what obstore says; pure, so that each case has a test.

    Only the status and S3's own code count: any other number in the text may be a port or a duration.
    """
    said = {match[1] for match in _CODES.finditer(text)}
    for codes, reason, cause, hint in _EXPLANATIONS:
        if codes & said:
            return reason, cause, hint
    first_line = text.strip().splitlines()[0][:200] if text.strip() else "no reason given"
    return Reason.STORE_UNAVAILABLE, f"does not work: {first_line}", "Check the endpoint and that the store runs."


_CODES = re.compile(r"(?:status code: |<Code>)(\w+)")

_EXPLANATIONS: tuple[tuple[frozenset[str], Reason, str, str], ...] = (
    (
        frozenset({"NoSuchBucket"}),
        Reason.STORE_UNAVAILABLE,
        "has no such bucket",
        "Create the bucket or correct the URL of the blob store.",
    ),
    (
        frozenset({"InsufficientStorage", "507", "QuotaExceeded", "XMinioStorageFull", "NotEnoughQuota"}),
        Reason.STORAGE_FULL,
        "is full",
        "Free space or raise the quota of the bucket, then try again.",
    ),
    (
        frozenset({"InvalidAccessKeyId", "SignatureDoesNotMatch", "AccessDenied", "401", "403"}),
        Reason.STORE_UNAVAILABLE,
        "refuses the credentials",
        "Check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY of this service and their rights on the bucket.",
    ),
)
