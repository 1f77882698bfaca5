"""Samples in a document store that speaks MongoDB's protocol.

Collection `samples`:

    _id        the sample's id, which sorts by time
    model, version, requests (all names of the request), wrong, replayable     what is searched for
    expires    a date: the store removes the document after it by itself (a TTL index)
    bytes      what it counts for under the model's cap
    holds      names of tensors whose values are in it
    raw        the request as it came
    ...        the rest of `Sample`

Collection `sizes`: bytes by model, added to with every write and set right by `enforce`.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import structlog
from bmase.reasons import Reason
from pymongo import ASCENDING, DESCENDING, AsyncMongoClient, UpdateOne
from pymongo.errors import BulkWriteError, InvalidURI, PyMongoError

from services.kit.errors import DomainError
from services.monitor.samples import documents
from services.monitor.samples.model import Batch, Query, Report, Rules, Sample
from services.monitor.samples.windows import first_id, ranges

DATABASE = "bmase"
CALL_SECONDS = 5.0
log = structlog.get_logger(__name__)

PATIENCE = 2  # calls of one operation; the rules of a model with many samples take longer
CLOSE_SECONDS = 5.0
SWEEP_PATIENCE = 12
DUPLICATE = 11_000
NAMES = 50
KEYS = {"expires": 1, "version": 1, "wrong": 1, "replayable": 1}

Document = dict[str, Any]


class MongoStore:
    """A `SampleStore` over one connection pool. Indexes are made before the first write."""

    def __init__(self, url: str, call_seconds: float = CALL_SECONDS) -> None:
        self._call_seconds = call_seconds
        limit = int(call_seconds * 1000)
        try:
            self._client: AsyncMongoClient[Document] = AsyncMongoClient(
                url,
                serverSelectionTimeoutMS=limit,
                connectTimeoutMS=limit,
                socketTimeoutMS=SWEEP_PATIENCE * limit,
                maxPoolSize=4,
                tz_aware=True,
                appname="bmase-monitor",
            )
        except InvalidURI as error:
            raise ValueError(f"samples_url: {error}") from None
        database = self._client.get_default_database(DATABASE)
        self._samples, self._sizes = database["samples"], database["sizes"]
        self._indexed = False

    async def write(self, batch: Batch) -> None:
        async with self._reached():
            await self._index()
            if batch.samples:
                await self._insert([documents.encode(s, batch.expires[s.id]) for s in batch.samples])
            for model in sorted({report.model for report in batch.reports}):
                await self._tell(model, {r.request_id: r for r in reversed(batch.reports) if r.model == model})

    async def page(self, query: Query) -> list[Sample]:
        async with self._reached():
            ids = [found async for found in self._ids(query)]
            found = await self._by_id(ids, None if query.raw else {"raw": 0})
        return [documents.decode(found[one]) for one in ids if one in found]

    async def count(self, query: Query) -> int:
        async with self._reached():
            return len([found async for found in self._ids(query)])

    async def find(self, model: str, request_ids: Sequence[str]) -> dict[str, Sample]:
        async with self._reached():
            found = await self._latest(model, request_ids, {"raw": 0, "inputs": 0, "outputs": 0, "holds": 0})
        now = datetime.now(UTC)
        return {name: documents.decode(document) for name, document in found.items() if document["expires"] > now}

    async def enforce(self, model: str, rules: Rules) -> int:
        async with self._reached(SWEEP_PATIENCE):
            await self._remove(model, rules)
            left = await self._trim(model, rules.max_bytes)
            await self._sizes.update_one({"_id": model}, {"$set": {"bytes": left}}, upsert=True)
            return left

    async def sizes(self) -> Mapping[str, int]:
        async with self._reached():
            return {found["_id"]: int(found["bytes"]) async for found in self._sizes.find()}

    async def close(self) -> None:
        """Ends the connections; a driver whose own tasks do not end (see `_heed`) is left behind."""
        closing = asyncio.create_task(self._client.close(), name="samples store closing")
        _, unfinished = await asyncio.wait({closing}, timeout=CLOSE_SECONDS)
        for task in unfinished:
            log.warning("samples.store_not_closed")
            task.cancel()

    # --- writing ---

    async def _insert(self, made: list[Document]) -> None:
        try:
            await self._samples.insert_many(made, ordered=False)
        except BulkWriteError as error:
            # Written again after an answer that was lost: what is there already is no error.
            if any(item.get("code") != DUPLICATE for item in (error.details or {}).get("writeErrors", [])):
                raise
        added: Counter[str] = Counter()
        for document in made:
            added[document["model"]] += document["bytes"]
        changes = [UpdateOne({"_id": model}, {"$inc": {"bytes": size}}, upsert=True) for model, size in added.items()]
        await self._sizes.bulk_write(changes, ordered=False)

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

    async def _index(self) -> None:
        if not self._indexed:
            await self._samples.create_index([("model", ASCENDING), ("_id", DESCENDING)])
            await self._samples.create_index([("model", ASCENDING), ("requests", ASCENDING)])
            await self._samples.create_index("expires", expireAfterSeconds=0)
            self._indexed = True

    # --- reading ---

    async def _ids(self, query: Query) -> AsyncIterator[str]:
        """Ids of what answers the query and has not expired, latest first.

        The store is only asked for a range of ids, and the rest of the query is looked at here: with more conditions a
        small store chooses another index, or none.
        """
        now, left = datetime.now(UTC), query.limit
        for low, high in ranges(query.before, time.time()):
            asked = {"model": query.model, "_id": {"$gte": low, "$lt": high}}
            async for found in self._samples.find(asked, KEYS).sort("_id", DESCENDING):
                if found["expires"] > now and _answers(found, query):
                    yield found["_id"]
                    left -= 1
                    if left == 0:
                        return

    async def _by_id(self, ids: Sequence[str], shown: Document | None) -> dict[str, Document]:
        found: dict[str, Document] = {}
        for start in range(0, len(ids), NAMES):
            asked = {"_id": {"$in": list(ids[start : start + NAMES])}}
            found |= {one["_id"]: one async for one in self._samples.find(asked, shown)}
        return found

    async def _latest(self, model: str, names: Sequence[str], shown: Document) -> dict[str, Document]:
        """The latest document of each request that is known.

        A few names at a time, as a store may look through all of them for every document that it finds, and without
        another condition, by whose index it might rather look.
        """
        latest: dict[str, Document] = {}
        for start in range(0, len(names), NAMES):
            some = names[start : start + NAMES]
            asked = {"model": model, "requests": {"$in": list(some)}}
            async for found in self._samples.find(asked, shown).sort("_id", ASCENDING):
                latest.update(dict.fromkeys(set(found["requests"]).intersection(some), found))
        return latest

    # --- removing ---

    async def _remove(self, model: str, rules: Rules) -> None:
        """Everything, or what is too old or holds what is redacted now."""
        if rules.opt_out:
            await self._samples.delete_many({"model": model})
            return
        await self._samples.delete_many({"expires": {"$lte": datetime.now(UTC)}})
        await self._samples.delete_many({"model": model, "_id": {"$lt": first_id(time.time() - rules.retention)}})
        if rules.redacted:
            await self._samples.delete_many({"model": model, "holds": {"$in": list(rules.redacted)}})

    async def _trim(self, model: str, limit: int) -> int:
        """Removes the oldest until the rest fits; the bytes that are left."""
        kept = 0
        for low, high in ranges("", time.time()):
            asked = {"model": model, "_id": {"$gte": low, "$lt": high}}
            async for found in self._samples.find(asked, {"bytes": 1}).sort("_id", DESCENDING):
                if kept + found["bytes"] > limit:
                    await self._samples.delete_many({"model": model, "_id": {"$lte": found["_id"]}})
                    return kept
                kept += found["bytes"]
        return kept

    @asynccontextmanager
    async def _reached(self, patience: int = PATIENCE) -> AsyncIterator[None]:
        """The store's failures as ours."""
        cancellations = _cancellations()
        try:
            async with asyncio.timeout(patience * self._call_seconds):
                yield
        except Exception as error:
            _heed(cancellations)  # whatever it came out as: a driver that lost it may stumble over its own lock
            if not isinstance(error, PyMongoError | OSError | TimeoutError):
                raise
            raise DomainError(
                Reason.STORE_UNAVAILABLE,
                f"the document store of the samples does not answer ({type(error).__name__})",
                hint="See `bmase status`, and samples_url of the monitor. Inference and judging go on without it.",
            ) from error
        _heed(cancellations)


def _cancellations() -> int:
    task = asyncio.current_task()
    return task.cancelling() if task is not None else 0


def _heed(before: int) -> None:
    """The driver waits with `asyncio.wait_for`, which in Python 3.11 can lose a cancellation."""
    if _cancellations() > before:
        raise asyncio.CancelledError


def _answers(found: Document, query: Query) -> bool:
    if query.version and found["version"] != query.version:
        return False
    return bool((not query.wrong or found.get("wrong")) and (not query.replayable or found["replayable"]))
