"""Samples in a document store that speaks MongoDB's protocol.

One collection, `samples`:

    _id        the sample's id, which sorts by time
    model, version, requests (all names of the request), wrong, replayable     what is searched for
    expires    a date: the store removes the document after it by itself (a TTL index)
    bytes      what it counts for under the model's cap
    holds      names of tensors whose values are in it
    raw        the request as it came
    ...        the rest of `Sample`
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from bmase.reasons import Reason
from pymongo import ASCENDING, DESCENDING, AsyncMongoClient, UpdateOne
from pymongo.errors import BulkWriteError, InvalidURI, PyMongoError

from services.kit.errors import DomainError
from services.monitor.samples import documents
from services.monitor.samples.model import Batch, Query, Report, Rules, Sample

DATABASE = "bmase"
COLLECTION = "samples"
CALL_SECONDS = 5.0
DUPLICATE = 11_000
TRIM_STEP = 500
NAMES = 50

Filter = dict[str, Any]


class MongoStore:
    """A `SampleStore` over one connection pool. Indexes are made before the first write."""

    def __init__(self, url: str, call_seconds: float = CALL_SECONDS) -> None:
        self._call_seconds = call_seconds
        limit = int(call_seconds * 1000)
        try:
            self._client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(
                url,
                serverSelectionTimeoutMS=limit,
                connectTimeoutMS=limit,
                socketTimeoutMS=limit,
                maxPoolSize=4,
                tz_aware=True,
                appname="bmase-monitor",
            )
        except InvalidURI as error:
            raise ValueError(f"samples_url: {error}") from None
        self._samples = self._client.get_default_database(DATABASE)[COLLECTION]
        self._indexed = False
        self._indexing = asyncio.Lock()

    async def write(self, batch: Batch) -> None:
        async with self._reached():
            await self._index()
            if batch.samples:
                await self._insert([documents.encode(s, batch.expires[s.id]) for s in batch.samples])
            for model in sorted({report.model for report in batch.reports}):
                await self._tell(model, {r.request_id: r for r in reversed(batch.reports) if r.model == model})

    async def page(self, query: Query) -> list[Sample]:
        hidden = None if query.raw else {"raw": 0}
        async with self._reached():
            cursor = self._samples.find(_filter(query), hidden).sort("_id", DESCENDING).limit(query.limit)
            return [documents.decode(document) async for document in cursor]

    async def count(self, query: Query) -> int:
        async with self._reached():
            return await self._samples.count_documents(_filter(query), limit=query.limit)

    async def find(self, model: str, request_ids: Sequence[str]) -> dict[str, Sample]:
        async with self._reached():
            found = await self._latest(model, request_ids, {"raw": 0, "inputs": 0, "outputs": 0, "holds": 0})
        now = datetime.now(UTC)
        return {name: documents.decode(document) for name, document in found.items() if document["expires"] > now}

    async def enforce(self, model: str, rules: Rules) -> int:
        async with self._reached():
            await self._samples.delete_many({"model": model, **_forbidden(rules)})
            return await self._trim(model, rules.max_bytes)

    async def sizes(self) -> Mapping[str, int]:
        async with self._reached():
            cursor = await self._samples.aggregate([{"$group": {"_id": "$model", "bytes": {"$sum": "$bytes"}}}])
            return {row["_id"]: int(row["bytes"]) async for row in cursor}

    async def close(self) -> None:
        await self._client.close()

    async def _insert(self, made: list[dict[str, Any]]) -> None:
        try:
            await self._samples.insert_many(made, ordered=False)
        except BulkWriteError as error:
            # Written again after an answer that was lost: what is there already is no error.
            if any(item.get("code") != DUPLICATE for item in (error.details or {}).get("writeErrors", [])):
                raise

    async def _tell(self, model: str, reports: Mapping[str, Report]) -> None:
        """Gives each report to the latest sample of its request, when that was told nothing yet."""
        latest = await self._latest(model, list(reports), {"requests": 1, "told": 1})
        updates = [
            UpdateOne({"_id": found["_id"]}, {"$set": documents.told(reports[name].told)})
            for name, found in latest.items()
            if found.get("told") is None
        ]
        if updates:
            await self._samples.bulk_write(updates, ordered=False)

    async def _latest(self, model: str, names: Sequence[str], shown: Filter) -> dict[str, Filter]:
        """The latest document of each request that is known.

        A few names at a time, as a store may look through all of them for every document that it finds, and without
        another condition, by whose index it might rather look.
        """
        latest: dict[str, Filter] = {}
        for start in range(0, len(names), NAMES):
            some = names[start : start + NAMES]
            asked = {"model": model, "requests": {"$in": list(some)}}
            async for found in self._samples.find(asked, shown).sort("_id", ASCENDING):
                latest.update(dict.fromkeys(set(found["requests"]).intersection(some), found))
        return latest

    async def _trim(self, model: str, limit: int) -> int:
        """Removes the oldest until the rest fits; the bytes that are left."""
        rows = self._samples.aggregate([{"$match": {"model": model}}, {"$group": {"_id": 0, "b": {"$sum": "$bytes"}}}])
        left = sum([int(row["b"]) async for row in await rows])
        while left > limit:
            cursor = self._samples.find({"model": model}, {"bytes": 1}).sort("_id", ASCENDING).limit(TRIM_STEP)
            gone = []
            async for row in cursor:
                gone.append(row["_id"])
                left -= row["bytes"]
                if left <= limit:
                    break
            if not gone:
                break
            await self._samples.delete_many({"_id": {"$in": gone}})
        return left

    @asynccontextmanager
    async def _reached(self) -> AsyncIterator[None]:
        """The store's failures as ours."""
        cancellations = _cancellations()
        try:
            async with asyncio.timeout(2 * self._call_seconds):
                yield
        except (PyMongoError, OSError, TimeoutError) as error:
            _heed(cancellations)
            raise DomainError(
                Reason.STORE_UNAVAILABLE,
                f"the document store of the samples does not answer ({type(error).__name__})",
                hint="See `bmase status`, and samples_url of the monitor. Inference and judging go on without it.",
            ) from error
        _heed(cancellations)

    async def _index(self) -> None:
        async with self._indexing:
            if not self._indexed:
                await self._samples.create_index([("model", ASCENDING), ("_id", DESCENDING)])
                await self._samples.create_index([("model", ASCENDING), ("requests", ASCENDING)])
                await self._samples.create_index("expires", expireAfterSeconds=0)
                self._indexed = True


def _cancellations() -> int:
    task = asyncio.current_task()
    return task.cancelling() if task is not None else 0


def _heed(before: int) -> None:
    """The driver waits with `asyncio.wait_for`, which in Python 3.11 can lose a cancellation."""
    if _cancellations() > before:
        raise asyncio.CancelledError


def _filter(query: Query) -> Filter:
    asked: Filter = {"model": query.model, "expires": {"$gt": datetime.now(UTC)}}
    if query.version:
        asked["version"] = query.version
    if query.wrong:
        asked["wrong"] = True
    if query.replayable:
        asked["replayable"] = True
    if query.before:
        asked["_id"] = {"$lt": query.before}
    return asked


def _forbidden(rules: Rules) -> Filter:
    """What has to go: everything, or what is too old or holds what is redacted now."""
    if rules.opt_out:
        return {}
    now = datetime.now(UTC)
    old: list[Filter] = [{"expires": {"$lte": now}}, {"time": {"$lte": now - timedelta(seconds=rules.retention)}}]
    return {"$or": [*old, {"holds": {"$in": list(rules.redacted)}}] if rules.redacted else old}
