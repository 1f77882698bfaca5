"""What RouteService does: reads and changes routes in Consul, and waits until this gateway's Envoy obeys them."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from bmase.reasons import Reason

from services.gateway.control import Control
from services.gateway.documents import (
    GatewayReport,
    NodeDocument,
    RouteDocument,
    Weighted,
    node_key,
    placement_key,
    route_key,
)
from services.gateway.lock import NOBODY, Hold, check, held
from services.gateway.world import World
from services.kit.consul import Consul
from services.kit.consul.documents import GATEWAYS, read
from services.kit.consul.model import Entry
from services.kit.errors import DomainError

TRIES = 6


@dataclass(frozen=True)
class Stored:
    """A route as it lies in Consul."""

    model: str
    document: RouteDocument
    index: int

    @property
    def etag(self) -> str:
        return hashlib.sha256(self.document.encode()).hexdigest()[:16]


class Operations:
    """The world is the cache; Consul decides."""

    def __init__(self, consul: Consul, world: World, control: Control, name: str) -> None:
        self._consul = consul
        self._world = world
        self._control = control
        self._name = name

    def get(self, model: str) -> Stored:
        """Raises ROUTE_NOT_FOUND."""
        found = self._known(model)
        if found is None:
            raise not_found(model)
        return found

    def all(self) -> list[Stored]:
        """By name."""
        return [self.get(model) for model in sorted(self._world.routes.documents)]

    async def update(
        self, model: str, wanted: Callable[[str], RouteDocument], etag: str, create: bool, hold: Hold = NOBODY
    ) -> Stored:
        """Replaces or makes the route; back to the old one when Envoy refuses it."""
        document = wanted(_now())
        await self._check_placed(model, document.used())

        def replaced(old: RouteDocument | None) -> RouteDocument | None:
            return held(model, old, document, hold) if old or create else None

        before = await self._swap(model, etag, replaced)
        try:
            await self._control.in_effect(model)
        except DomainError as error:
            if error.reason is Reason.ROUTE_REJECTED:
                await self._take_back(model, held(model, before, document, hold), before)
            raise
        return self.get(model)

    async def set_weights(self, model: str, versions: list[Weighted], etag: str, hold: Hold = NOBODY) -> Stored:
        """The quick way: compare-and-set, and the weights are in Envoy. Versions that are not named get 0."""
        await self._check_placed(model, {entry.version for entry in versions if entry.weight})

        def reweighted(old: RouteDocument | None) -> RouteDocument | None:
            if old is None:
                return None
            after = old.model_copy(update={"versions": _merged(old, versions), "update_time": _now()})
            return held(model, old, after, hold)

        await self._swap(model, etag, reweighted)
        await self._control.weigh(model)
        return self.get(model)

    async def delete(self, model: str, etag: str) -> None:
        """Raises ROUTE_NOT_FOUND when there is none; afterwards the model is served only by explicit version."""
        for _ in range(TRIES):
            stored = await self._read(model)
            if stored is None:
                raise not_found(model)
            _check_etag(stored, etag)
            check(model, stored.document, NOBODY)
            if await self._consul.kv.delete(route_key(model), modify_index=stored.index):
                await self._read(model)
                await self._control.in_effect(model)
                return
        raise _contended(model)

    async def watch(self, model: str | None) -> AsyncIterator[tuple[str, Stored | None]]:
        """The present routes, then each as it changes; None for one that is gone."""
        sent: dict[str, Entry] = {}
        while True:
            seen = self._control.news.count
            entries = self._world.routes.entries
            for name in sorted(entries.keys() | sent.keys()) if model is None else [model]:
                entry = entries.get(name)
                was = sent.get(name)
                if entry is was or (entry and was and entry.value == was.value):
                    continue
                if entry is None:
                    del sent[name]
                    yield name, None
                else:
                    sent[name] = entry
                    yield name, self.get(name)
            await self._control.news.after(seen, 3600)

    async def gateways(self) -> dict[str, tuple[str, GatewayReport]]:
        """The reports of all gateways: name -> epoch of the store, report."""
        listing = await self._consul.kv.list(GATEWAYS)
        reports = {key.removeprefix(GATEWAYS): read(GatewayReport, e.value) for key, e in listing.entries.items()}
        return {name: (listing.epoch, report) for name, report in reports.items() if report is not None}

    def _known(self, model: str) -> Stored | None:
        entry, document = self._world.routes.entry(model), self._world.routes.documents.get(model)
        return Stored(model, document, entry.modify_index) if entry and document else None

    async def _read(self, model: str) -> Stored | None:
        """The route as Consul has it now, taken over into the world."""
        key = route_key(model)
        index, entries = await self._consul.kv.read(key, recurse=False)
        self._world.see_route(model, index, entries.get(key))
        self._control.changed()
        return self._known(model)

    async def _swap(
        self, model: str, etag: str, change: Callable[[RouteDocument | None], RouteDocument | None]
    ) -> RouteDocument | None:
        """Compare-and-set until it holds; the document that was there before."""
        stored = self._known(model)
        for attempt in range(TRIES):
            if attempt or stored is None:
                stored = await self._read(model)
            if stored is None and etag:
                raise _changed(model)
            try:
                if stored is not None:
                    _check_etag(stored, etag)
                document = change(stored.document if stored else None)
            except DomainError:
                if attempt:
                    raise
                continue  # what is known here may be old: ask Consul before refusing
            if document is None:
                raise not_found(model)
            if await self._consul.kv.cas(route_key(model), document.encode(), stored.index if stored else 0):
                await self._read(model)
                return stored.document if stored else None
        raise _contended(model)

    async def _take_back(self, model: str, refused: RouteDocument, before: RouteDocument | None) -> None:
        """The store goes back to what Envoy still does, unless somebody changed it meanwhile."""
        stored = await self._read(model)
        if stored is None or stored.document != refused:
            return
        if before is None:
            await self._consul.kv.delete(route_key(model), modify_index=stored.index)
        else:
            await self._consul.kv.cas(route_key(model), before.encode(), stored.index)
        await self._read(model)

    async def _check_placed(self, model: str, versions: set[int]) -> None:
        """Raises VERSION_NOT_DEPLOYED; asks Consul before, as the patcher may have been quicker than the watch."""
        if versions <= self._placed(model):
            return
        key = placement_key(model)
        index, entries = await self._consul.kv.read(key, recurse=False)
        self._world.see_placement(model, index, entries.get(key))
        await self._learn_nodes(model)
        self._control.changed()
        if missing := sorted(versions - self._placed(model)):
            listed = ", ".join(map(str, missing))
            raise DomainError(
                Reason.VERSION_NOT_DEPLOYED,
                f"version {listed} of '{model}' is not ready on any node",
                hint=f"Deploy it first: bmase deploy {model} {missing[0]}",
                field="versions",
                metadata={"model": model, "versions": listed},
            )

    def _placed(self, model: str) -> set[int]:
        route = self._world.model(model)
        return {target.version for target in route.targets} if route else set()

    async def _learn_nodes(self, model: str) -> None:
        placement = self._world.placements.documents.get(model)
        names = {node for nodes in placement.versions.values() for node in nodes} if placement else set()
        unknown = sorted(names - self._world.nodes.keys())
        for entry in await asyncio.gather(*(self._consul.kv.get(node_key(name)) for name in unknown)):
            if entry is not None and (document := read(NodeDocument, entry.value)):
                self._world.see_node(document)


def _merged(old: RouteDocument, versions: list[Weighted]) -> tuple[Weighted, ...]:
    weights = dict.fromkeys((entry.version for entry in old.versions), 0)
    weights |= {entry.version: entry.weight for entry in versions}
    return tuple(Weighted(version=version, weight=weight) for version, weight in sorted(weights.items()))


def _check_etag(stored: Stored, etag: str) -> None:
    if etag and stored.etag != etag:
        raise _changed(stored.model)


def _now() -> str:
    return datetime.now(UTC).isoformat()


def not_found(model: str) -> DomainError:
    return DomainError(
        Reason.ROUTE_NOT_FOUND,
        f"there is no route for '{model}'",
        hint="A model's first deployment gets one; UpdateRoute with allow_missing makes one.",
        metadata={"model": model},
    )


def _changed(model: str) -> DomainError:
    return DomainError(
        Reason.ETAG_MISMATCH,
        f"the route of '{model}' was changed since it was read",
        hint="Read it again and decide anew.",
        metadata={"model": model},
    )


def _contended(model: str) -> DomainError:
    return DomainError(Reason.ETAG_MISMATCH, f"others keep changing the route of '{model}'", metadata={"model": model})
