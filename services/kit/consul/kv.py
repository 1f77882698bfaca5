"""Keys and values: read, compare-and-set, transactions, and the epoch of the store."""

from __future__ import annotations

import asyncio
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

# A server that starts again elects itself first and reads its log back then. Default reads see the store in between as
# it was long ago, key by key: what is missing would be taken for deleted. Consistent ones wait until it is current.
CONSISTENT = ("consistent", "1")

Decoded = TypeVar("Decoded")
Payload = list[dict[str, Any]]


class Epochs:
    """The epoch that was read last, and a way to wait until it is another one."""

    def __init__(self) -> None:
        self._latest = ""
        self._turn = asyncio.Event()

    def saw(self, epoch: str) -> None:
        if epoch != self._latest:
            self._latest = epoch
            self._turn.set()
            self._turn = asyncio.Event()

    async def left(self, epoch: str) -> None:
        """Returns once somebody has read another epoch than `epoch`."""
        while self._latest in {"", epoch}:
            await self._turn.wait()


class Kv:
    """The key-value store. Every method raises COORDINATION_UNAVAILABLE when Consul cannot answer."""

    def __init__(self, transport: Transport) -> None:
        self.transport = transport
        self._api = transport.api.kv
        self.epochs = Epochs()

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
        await self.transport.call(self._api.put(checked_key(key), encode(key, value)))

    async def cas(self, key: str, value: Value, modify_index: int) -> bool:
        """Writes if the key is still at `modify_index` (0: does not exist). False: somebody else wrote.

        Consul takes a write of the value that is there already for done: it succeeds and the index stays.
        """
        data = encode(key, value)
        return bool(await self.transport.call(self._api.put(checked_key(key), data, cas=modify_index)))

    async def delete(self, key: str, *, modify_index: int | None = None) -> bool:
        """Deletes the key, or only that state of it; deleting what is not there succeeds."""
        return bool(await self.transport.call(self._api.delete(checked_key(key), cas=modify_index)))

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
        return bool(await self.transport.call(self._txn(payload)))

    async def _txn(self, payload: Payload) -> bool:
        try:
            await self.transport.api.txn.put(payload)
        except ClientError as error:
            if str(error).startswith("409"):
                return False
            raise
        return True

    async def epoch(self) -> str:
        """The random name of this life of the store, created by whoever looks first.

        A snapshot that an operator restores keeps the epoch of the snapshot: deleting this key then tells everybody.
        """
        while not (entry := await self.get(EPOCH_KEY)):
            await self.cas(EPOCH_KEY, secrets.token_hex(8), 0)
        epoch = entry.value.decode(errors="replace")
        self.epochs.saw(epoch)
        return epoch

    async def read(
        self, prefix: str, *, recurse: bool = True, index: int = 0, known: Mapping[str, Entry] | None = None
    ) -> tuple[int, dict[str, Entry]]:
        """One query; with `index` it blocks until something changed or `WAIT_SECONDS` are over."""
        params: list[tuple[str, Any]] = [CONSISTENT, ("recurse", "1")] if recurse else [CONSISTENT]
        if index:
            params += [("index", index), ("wait", f"{WAIT_SECONDS:g}s")]

        def decode(response: Response) -> tuple[int, dict[str, Entry]]:
            return answered(response, lambda items: decode_entries(items, known or {}))

        # py-consul's own kv.get decodes every value each time; at 10,000 keys that is most of a watch's work.
        api = self.transport.api
        request = api.http.get(decode, f"/v1/kv/{checked_key(prefix)}", params, api.prepare_headers())
        return await self.transport.call(request, WAIT_LIMIT if index else CALL_SECONDS)


def answered(response: Response, decode: Callable[[Any], Decoded]) -> tuple[int, Decoded]:
    """Index and decoded body of a query; an answer that is not Consul's counts as Consul being away."""
    CB._status(response)
    try:
        items = json.loads(response.body) if response.code == 200 else None
        return int(response.headers["X-Consul-Index"]), decode(items)
    except (ValueError, KeyError, TypeError) as error:
        raise ConsulException(f"the answer is not Consul's ({type(error).__name__}: {error})") from error
