"""What Consul answers, as immutable values, and the pure decisions of a watch."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bmase.reasons import Reason

from services.kit.errors import DomainError

MAX_VALUE_BYTES = 512 * 1024
MAX_TXN_OPERATIONS = 64

Value = bytes | str | Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Entry:
    """One key of the store. `modify_index` is what a compare-and-set compares with."""

    key: str
    value: bytes
    modify_index: int
    create_index: int = 0
    session: str = ""

    def json(self) -> dict[str, Any]:
        """The value as a JSON object; anything else stored there is reported with the key."""
        try:
            document = json.loads(self.value)
        except ValueError as error:
            raise DomainError(Reason.INTERNAL, f"the value at {self.key!r} is not JSON: {error}") from error
        if not isinstance(document, dict):
            raise DomainError(Reason.INTERNAL, f"the value at {self.key!r} is not a JSON object")
        return document


@dataclass(frozen=True, slots=True)
class Changes:
    """The difference between two listings: entries written, keys gone."""

    written: dict[str, Entry]
    gone: frozenset[str]


@dataclass(frozen=True, slots=True)
class Listing:
    """All keys under a prefix at one moment.

    `epoch` names the life of the store: keys missing from a listing were deleted only if its epoch is the epoch of the
    listing they were in. With a new epoch the store began empty and owners are still writing their state again.
    """

    index: int
    entries: dict[str, Entry]
    epoch: str

    def changes_since(self, earlier: Listing | None) -> Changes:
        before = earlier.entries if earlier and earlier.epoch == self.epoch else {}
        # A watch hands out the same object for what did not change: looking at that first is ten times as fast.
        written = {k: e for k, e in self.entries.items() if (was := before.get(k)) is not e and was != e}
        return Changes(written, frozenset(before.keys() - self.entries.keys()))


@dataclass(frozen=True, slots=True)
class Instance:
    """One passing instance of a service."""

    id: str
    address: str
    port: int
    meta: Mapping[str, str] = field(default_factory=dict, hash=False)
    tags: tuple[str, ...] = ()

    @property
    def target(self) -> str:
        return f"[{self.address}]:{self.port}" if ":" in self.address else f"{self.address}:{self.port}"


@dataclass(frozen=True, slots=True)
class KvOp:
    """One operation of a transaction; verbs are Consul's: set, cas, lock, unlock, delete, delete-cas, check-..."""

    verb: str
    key: str
    value: Value = b""
    index: int | None = None
    session: str = ""

    def payload(self) -> dict[str, Any]:
        body: dict[str, Any] = {"Verb": self.verb, "Key": self.key}
        if self.verb in {"set", "cas", "lock", "unlock"}:
            body["Value"] = base64.b64encode(encode(self.key, self.value)).decode()
        if self.index is not None:
            body["Index"] = self.index
        if self.session:
            body["Session"] = self.session
        return {"KV": body}


def encode(key: str, value: Value) -> bytes:
    """Bytes as they are, text as UTF-8, a mapping as compact JSON; refused when the store could not hold it."""
    if isinstance(value, bytes):
        data = value
    elif isinstance(value, str):
        data = value.encode()
    else:
        data = json.dumps(value, separators=(",", ":"), sort_keys=True).encode()
    if len(data) > MAX_VALUE_BYTES:
        raise DomainError(
            Reason.REQUEST_TOO_LARGE,
            f"the value for {key!r} has {len(data):,} bytes; a key of the coordination store holds {MAX_VALUE_BYTES:,}",
            hint="Put the data in the blob store and its digest here.",
        )
    return data


def checked_key(key: str) -> str:
    """Keys are built from names that were validated at the edge; this is the last wall against a broken one."""
    if not key or key.startswith("/") or len(key) > 512 or any(not c.isprintable() or c in "?#%" for c in key):
        raise DomainError(Reason.INVALID_FIELD, f"{key[:80]!r} cannot be a key of the coordination store", field="key")
    return key


def checked_name(name: str) -> str:
    """Names of services and instances are one segment of a path."""
    if "/" in checked_key(name):
        raise DomainError(Reason.INVALID_FIELD, f"{name[:80]!r} cannot name a service or an instance", field="name")
    return name


def decode_entries(items: list[dict[str, Any]] | None, known: Mapping[str, Entry]) -> dict[str, Entry]:
    """Entries of a listing; an unchanged one is the object of the earlier listing, so it is not decoded again.

    `known` must be of the same epoch: indexes of different stores mean nothing to each other.
    """
    return {item["Key"]: _decode_entry(item, known.get(item["Key"])) for item in items or []}


def _decode_entry(item: dict[str, Any], known: Entry | None) -> Entry:
    session = item.get("Session") or ""
    if known and (known.modify_index, known.session) == (item["ModifyIndex"], session):
        return known
    value = base64.b64decode(item["Value"]) if item["Value"] else b""
    return Entry(item["Key"], value, item["ModifyIndex"], item["CreateIndex"], session)


def decode_instance(item: dict[str, Any]) -> Instance:
    service = item["Service"]
    return Instance(
        id=service["ID"],
        address=service["Address"] or item["Node"]["Address"],
        port=service["Port"],
        meta=dict(service.get("Meta") or {}),
        tags=tuple(service.get("Tags") or ()),
    )


def next_index(asked: int, answered: int) -> int:
    """The index of the next blocking query.

    Going backwards means another store, a restored one, or reaped tombstones: start over with an immediate read (0).
    An index below 1 would never block, so 1 is the floor of every other case.
    """
    return 0 if answered < asked else max(1, answered)
