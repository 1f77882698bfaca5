"""Keys and values: read, compare-and-set, transactions, and the epoch of the store."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from bmase.reasons import Reason
from consul.base import Response
from consul.callback import CB
from consul.exceptions import ClientError, ConsulException

from services.kit.consul.model import (
    MAX_TXN_OPERATIONS,
    Entry,
    KvOp,
    Listing,
    Value,
    checked_key,
    decode_entries,
    encode,
)
from services.kit.consul.transport import CALL_SECONDS, Transport
from services.kit.errors import DomainError

EPOCH_KEY = "bmase/epoch"

# Consul adds up to a sixteenth of `wait` to a blocking query; the rest is for a busy machine.
WAIT_SECONDS = 10.0
WAIT_LIMIT = WAIT_SECONDS * 17 / 16 + 3.0

Decoded = TypeVar("Decoded")
Payload = list[dict[str, Any]]


class Kv:
    """The key-value store. Every method raises COORDINATION_UNAVAILABLE when Consul cannot answer."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._api = transport.api.kv

    async def get(self, key: str) -> Entry | None:
        _, entries = await self.read(key, recurse=False)
        return entries.get(key)

    async def list(self, prefix: str) -> Listing:
        """All keys under `prefix`, with the epoch they certainly belong to."""
        before = await self.epoch()
        while True:
            index, entries = await self.read(prefix)
            after = await self.epoch()
            if after == before:
                return Listing(index, entries, after)
            before = after

    async def put(self, key: str, value: Value) -> None:
        await self._transport.call(self._api.put(checked_key(key), encode(key, value)))

    async def cas(self, key: str, value: Value, modify_index: int) -> bool:
        """Writes if the key is still at `modify_index` (0: does not exist). False: somebody else wrote."""
        data = encode(key, value)
        return bool(await self._transport.call(self._api.put(checked_key(key), data, cas=modify_index)))

    async def delete(self, key: str, *, modify_index: int | None = None) -> bool:
        """Deletes the key, or only that state of it; deleting what is not there succeeds."""
        return bool(await self._transport.call(self._api.delete(checked_key(key), cas=modify_index)))

    async def txn(self, operations: Sequence[KvOp]) -> bool:
        """All operations or none. False: a check or a compare failed and nothing was written."""
        if len(operations) > MAX_TXN_OPERATIONS:
            raise DomainError(
                Reason.REQUEST_TOO_LARGE,
                f"{len(operations)} operations do not fit one transaction of at most {MAX_TXN_OPERATIONS}",
            )
        for operation in operations:
            checked_key(operation.key)
        payload = [operation.payload() for operation in operations]
        return bool(await self._transport.call(self._txn(payload)))

    async def _txn(self, payload: Payload) -> bool:
        try:
            await self._transport.api.txn.put(payload)
        except ClientError as error:
            if str(error).startswith("409"):
                return False
            raise
        return True

    async def epoch(self) -> str:
        """The random name of this life of the store, created by whoever looks first.

        A snapshot that an operator restores keeps the epoch of the snapshot: deleting this key then tells everybody.
        """
        while True:
            entry = await self.get(EPOCH_KEY)
            if entry:
                return entry.value.decode(errors="replace")
            await self.cas(EPOCH_KEY, secrets.token_hex(8), 0)

    async def read(
        self, prefix: str, *, recurse: bool = True, index: int = 0, known: Mapping[str, Entry] | None = None
    ) -> tuple[int, dict[str, Entry]]:
        """One query; with `index` it blocks until something changed or `WAIT_SECONDS` are over."""
        params: list[tuple[str, Any]] = [("recurse", "1")] if recurse else []
        if index:
            params += [("index", index), ("wait", f"{WAIT_SECONDS:g}s")]

        def decode(response: Response) -> tuple[int, dict[str, Entry]]:
            return answered(response, lambda items: decode_entries(items, known or {}))

        # py-consul's own kv.get decodes every value each time; at 10,000 keys that is most of a watch's work.
        api = self._transport.api
        request = api.http.get(decode, f"/v1/kv/{checked_key(prefix)}", params, api.prepare_headers())
        return await self._transport.call(request, WAIT_LIMIT if index else CALL_SECONDS)


def answered(response: Response, decode: Callable[[Any], Decoded]) -> tuple[int, Decoded]:
    """Index and decoded body of a query; an answer that is not Consul's counts as Consul being away."""
    CB._status(response)
    try:
        items = json.loads(response.body) if response.code == 200 else None
        return int(response.headers["X-Consul-Index"]), decode(items)
    except (ValueError, KeyError, TypeError) as error:
        raise ConsulException(f"the answer is not Consul's ({type(error).__name__}: {error})") from error
