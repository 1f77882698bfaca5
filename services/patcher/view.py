"""The patcher's eyes: follows Consul and turns what lies there into observations."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Container, Coroutine, Iterator
from functools import partial
from typing import Any, TypeVar

from services.kit.consul import Consul, Entry, Instance, Listing
from services.kit.consul.documents import GATEWAYS, NODES, PLACEMENTS, Document, read
from services.kit.errors import DomainError
from services.patcher.documents import SYNCED, Alive, Desired, GatewayReport, NodeInfo, Placements, Status, Synced
from services.patcher.observation import NodeView, Observation, PlacementsView
from services.patcher.probes import Probes

HEARTBEAT = 2.0
GATEWAY_SERVICE = "gateway"

Kind = TypeVar("Kind", bound=Document)


class View:
    """The last listings; `changed` is called whenever one of them is another."""

    def __init__(self, consul: Consul, probes: Probes, settle_seconds: float, changed: Callable[[], None]) -> None:
        self._consul = consul
        self._probes = probes
        self._settle = settle_seconds
        self._changed = changed
        self._listings: dict[str, Listing] = {}
        self._registered: frozenset[str] = frozenset()
        self._answers_since = 0.0  # monotonic; 0: Consul does not answer
        self._silent_since: dict[str, float] = {}
        self._parsed = _Parsed()
        self.last: Observation | None = None

    def tasks(self) -> Iterator[tuple[str, Callable[[], Coroutine[Any, Any, None]]]]:
        """What has to run for the view to be true: names and coroutine functions."""
        for prefix in (NODES, PLACEMENTS, GATEWAYS):
            yield f"watch {prefix}", partial(self._follow, prefix)
        yield "watch gateways", self._follow_gateways
        yield "heartbeat", self._heartbeat

    def observation(self) -> Observation | None:
        """What is seen now; None until all of it was seen, and while the parts are of different lives of the store.

        For the event loop alone, as it also notes who has fallen silent; other threads read `last`.
        """
        listings = [self._listings.get(prefix) for prefix in (NODES, PLACEMENTS, GATEWAYS)]
        if any(listing is None for listing in listings) or len({listing.epoch for listing in listings if listing}) != 1:
            self.last = None
        else:
            nodes, placements, gateways = (listing for listing in listings if listing)
            self.last = self._observed(nodes, placements, gateways)
        return self.last

    def _observed(self, nodes: Listing, placements: Listing, gateways: Listing) -> Observation:
        sorted_nodes = _NodeEntries(nodes, self._parsed)
        settled = bool(self._answers_since) and time.monotonic() - self._answers_since >= self._settle
        return Observation(
            now=time.time(),
            epoch=nodes.epoch,
            settled=settled,
            infos=sorted_nodes.infos,
            nodes=self._node_views(sorted_nodes, settled),
            statuses=sorted_nodes.statuses,
            desired=sorted_nodes.desired,
            synced=sorted_nodes.synced,
            placements={
                key.removeprefix(PLACEMENTS): PlacementsView(document, entry.modify_index)
                for key, entry in placements.entries.items()
                if (document := self._parsed.get(Placements, entry))
            },
            gateways={
                key.removeprefix(GATEWAYS): report
                for key, entry in gateways.entries.items()
                if (report := self._parsed.get(GatewayReport, entry))
            },
            registered=self._registered,
        )

    def _node_views(self, entries: _NodeEntries, settled: bool) -> dict[str, NodeView]:
        """Silence counts only while Consul's word counts."""
        views, now = {}, time.monotonic()
        for name in entries.infos.keys() | entries.alive.keys() | self._silent_since.keys():
            alive = entries.alive.get(name)
            if alive is not None or not settled:
                self._silent_since.pop(name, None)
            else:
                self._silent_since.setdefault(name, now)
            since = self._silent_since.get(name, now)
            views[name] = NodeView(
                alive=alive is not None,
                usable=alive is not None and alive.usable,
                message=alive.message if alive else "",
                silent_for=now - since,
                answering=self._probes.answering(name),
                mute=self._probes.mute(name),
            )
        silent = {name: entries.infos[name].grpc for name in self._silent_since if name in entries.infos}
        self._probes.watch(silent)
        return views

    async def _follow(self, prefix: str) -> None:
        async for listing in self._consul.watch(prefix):
            before = self._listings.get(prefix)
            if before is not None and before.epoch != listing.epoch:
                self._answers_since = time.monotonic()  # a store without memory: absence says nothing yet
            self._listings[prefix] = listing
            self._parsed.forget(prefix, listing.entries)
            self._changed()

    async def _follow_gateways(self) -> None:
        async for instances in self._consul.watch_service(GATEWAY_SERVICE):
            self._registered = frozenset(map(_gateway_name, instances))
            self._changed()

    async def _heartbeat(self) -> None:
        while True:
            try:
                await self._consul.kv.epoch()
                self._answers_since = self._answers_since or time.monotonic()
            except DomainError:
                self._answers_since = 0.0
            self.observation()
            await asyncio.sleep(HEARTBEAT)


def _gateway_name(instance: Instance) -> str:
    return str(instance.meta.get("gateway") or instance.id)


class _Parsed:
    """Documents by entry, so that an unchanged key is not parsed again at every look."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, type], tuple[Entry, Document | None]] = {}

    def get(self, kind: type[Kind], entry: Entry) -> Kind | None:
        known = self._known.get((entry.key, kind))
        if known is None or known[0] is not entry:
            known = (entry, read(kind, entry.value))
            self._known[entry.key, kind] = known
        return known[1]  # type: ignore[return-value]

    def forget(self, prefix: str, keys: Container[str]) -> None:
        """Drops what lay under the prefix and is not among the keys any more."""
        for known in [k for k in self._known if k[0].startswith(prefix) and k[0] not in keys]:
            del self._known[known]


class _NodeEntries:
    """The keys under `bmase/nodes/`, by what they are."""

    def __init__(self, listing: Listing, parsed: _Parsed) -> None:
        self.infos: dict[str, NodeInfo] = {}
        self.alive: dict[str, Alive] = {}
        self.statuses: dict[tuple[str, str], Status] = {}
        self.desired: dict[tuple[str, str], Desired] = {}
        self.synced: dict[str, Synced] = {}
        for key, entry in listing.entries.items():
            self._sort_in(key.removeprefix(NODES).split("/"), entry, parsed)

    def _sort_in(self, parts: list[str], entry: Entry, parsed: _Parsed) -> None:
        match parts:
            case [node, "info"]:
                _put(self.infos, node, parsed.get(NodeInfo, entry))
            case [node, "alive"]:
                _put(self.alive, node, parsed.get(Alive, entry))
            case [node, "status", model]:
                _put(self.statuses, (node, model), parsed.get(Status, entry))
            case [node, "desired", name] if name == SYNCED:
                _put(self.synced, node, parsed.get(Synced, entry))
            case [node, "desired", model]:
                _put(self.desired, (node, model), parsed.get(Desired, entry))


Where = TypeVar("Where")


def _put(table: dict[Where, Kind], key: Where, document: Kind | None) -> None:
    if document is not None:
        table[key] = document
