"""What the gateway knows: the last good documents, and the snapshot that follows from them.

A document that vanishes is only gone when the store it vanished from is the one it was in (same epoch). After the store
was lost, everything stays as it was until its owner says otherwise.
"""

from __future__ import annotations

import time
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import structlog

from services.gateway.documents import CaptureDocument, Document, NodeDocument, PlacementDocument, RouteDocument
from services.gateway.durable import Saved
from services.gateway.envoy.capture import MONITOR
from services.gateway.envoy.snapshot import Endpoint, ModelRoute, Node, Snapshot, SnapshotError
from services.gateway.resolve import model_route, node
from services.kit.consul.documents import CAPTURES, PLACEMENTS, ROUTES, read
from services.kit.consul.model import Entry, Listing

log = structlog.get_logger(__name__)
# How long a listing can have been on its way.
FLOOR_SECONDS = 60.0
DocumentT = TypeVar("DocumentT", bound=Document)


@dataclass
class Shelf(Generic[DocumentT]):
    """All documents of one kind, by model."""

    prefix: str
    kind: type[DocumentT]
    listing: Listing = field(default_factory=lambda: Listing(0, {}, ""))
    documents: dict[str, DocumentT] = field(default_factory=dict)
    entries: dict[str, Entry] = field(default_factory=dict)
    _floors: dict[str, tuple[int, float]] = field(default_factory=dict)
    _epochs: dict[str, str] = field(default_factory=dict)

    def see(self, listing: Listing) -> set[str]:
        """Takes over what changed; the models concerned."""
        if listing.epoch != self.listing.epoch:
            self._floors.clear()
        written = listing.changes_since(self.listing).written
        self.listing = listing
        touched = {self._put(e, listing.index) for e in written.values()}
        touched |= {self._drop(key, listing.index) for key in self._missing()}
        return {model for model in touched if model}

    def _missing(self) -> list[str]:
        """What was known from this very store and is not in it any more: somebody said that it is gone."""
        here, now = self.listing.epoch, self.listing.entries
        return [e.key for m, e in self.entries.items() if e.key not in now and self._epochs.get(m) == here]

    def see_one(self, model: str, index: int, entry: Entry | None) -> None:
        """Takes over one key that was read by itself, so that no older listing undoes it."""
        self._floors.pop(model, None)
        if entry is not None:
            self._put(entry, index)
        else:
            self._drop(self.prefix + model, index)
        self._floors[model] = (index, time.monotonic())

    def _is_older(self, model: str, index: int) -> bool:
        """Whether a listing was on its way when the key was read by itself. Only for a while: indices may go back."""
        floor, since = self._floors.get(model, (0, 0.0))
        return index < floor and time.monotonic() - since < FLOOR_SECONDS

    def entry(self, model: str) -> Entry | None:
        return self.entries.get(model)

    def carried(self) -> dict[str, Entry]:
        """By key: what is known but not in the last listing, because the store lost it and nobody said it is gone."""
        here, now = self.listing.epoch, self.listing.entries
        return {e.key: e for m, e in self.entries.items() if e.key not in now and self._epochs.get(m) != here}

    def restore(self, listing: Listing, carried: Mapping[str, Entry]) -> set[str]:
        """Takes over what an earlier process knew; the models concerned."""
        self.listing = listing
        known = {model for entry in listing.entries.values() if (model := self._put(entry, listing.index))}
        older = {model for entry in carried.values() if (model := self._put(entry, listing.index))}
        self._epochs.update(dict.fromkeys(older, ""))
        return known | older

    def _put(self, entry: Entry, index: int) -> str:
        model = entry.key.removeprefix(self.prefix)
        if self._is_older(model, index):
            return ""
        document = read(self.kind, entry.value)
        if document is None:
            log.error("gateway.document_unreadable", key=entry.key)
            return ""
        self.documents[model], self.entries[model] = document, entry
        self._epochs[model] = self.listing.epoch
        return model

    def _drop(self, key: str, index: int) -> str:
        model = key.removeprefix(self.prefix)
        if model not in self.documents or self._is_older(model, index):
            return ""
        del self.documents[model], self.entries[model], self._epochs[model]
        return model


class World:
    """Documents in, snapshot out. Models whose documents did not change keep the very same ModelRoute."""

    def __init__(self) -> None:
        self.routes = Shelf(ROUTES, RouteDocument)
        self.placements = Shelf(PLACEMENTS, PlacementDocument)
        self.captures = Shelf(CAPTURES, CaptureDocument)
        self.nodes: dict[str, Node] = {}
        self.services: dict[str, tuple[Endpoint, ...]] = {}
        self.rejected: dict[str, str] = {}
        self._monitored = False
        self._heard: set[str] = set()
        self._wanted_nodes: set[str] = set()
        self._models: dict[str, ModelRoute] = {}
        self._refused: dict[str, ModelRoute] = {}
        self._dirty: set[str] = set()
        self._changed: set[str] = set()

    @property
    def complete(self) -> bool:
        """Whether routes and placements were read at least once, from Consul or from the own copy."""
        return bool(self.routes.listing.epoch and self.placements.listing.epoch)

    @property
    def current(self) -> bool:
        """Whether Consul itself has said in this life what is wanted, down to where the nodes are.

        The own copy may be a moment older than what Envoy was last told.
        """
        return self._heard == {ROUTES, PLACEMENTS, CAPTURES} and self.wanted_nodes() <= self.nodes.keys()

    def only_awaits_routes(self, published: Container[str]) -> bool:
        """Whether all that is new are models that were placed and have no route yet."""
        new = self._dirty | self._changed
        return bool(new) and not any(model in published or model in self.routes.documents for model in new)

    def restore(self, saved: Saved) -> None:
        """Takes over the state of an earlier process of this gateway."""
        self.nodes.update(saved.nodes)
        self.services.update(saved.services)
        self._dirty |= self.routes.restore(saved.routes, saved.routes_carried)
        self._dirty |= self.captures.restore(saved.captures, saved.captures_carried)
        self._placed(self.placements.restore(saved.placements, saved.placements_carried))

    def saved(self) -> Saved:
        """What to keep for the next process."""
        return Saved(
            self.routes.listing,
            self.placements.listing,
            self.routes.carried(),
            self.placements.carried(),
            dict(self.nodes),
            dict(self.services),
            self.captures.listing,
            self.captures.carried(),
        )

    def see_captures(self, listing: Listing) -> None:
        self._heard.add(CAPTURES)
        self._dirty |= self.captures.see(listing)

    def see_routes(self, listing: Listing) -> None:
        self._heard.add(ROUTES)
        self._dirty |= self.routes.see(listing)

    def see_placements(self, listing: Listing) -> None:
        self._heard.add(PLACEMENTS)
        self._placed(self.placements.see(listing))

    def see_route(self, model: str, index: int, entry: Entry | None) -> None:
        self.routes.see_one(model, index, entry)
        self._dirty.add(model)

    def see_placement(self, model: str, index: int, entry: Entry | None) -> None:
        self.placements.see_one(model, index, entry)
        self._placed({model})

    def see_node(self, document: NodeDocument) -> None:
        """A node's addresses; the models placed on it are made again."""
        found = node(document)
        if found is None:
            log.error("gateway.node_address_unreadable", node=document.name, grpc=document.grpc, http=document.http)
            return
        if self.nodes.get(found.name) == found:
            return
        new = found.name not in self.nodes
        self.nodes[found.name] = found
        if new:  # a changed address is the cluster's affair, not the models'
            self._dirty |= {m for m, p in self.placements.documents.items() if found.name in _nodes_of(p)}

    def see_service(self, name: str, endpoints: Iterable[Endpoint]) -> None:
        """Instances of one of our services; the last known stay when none is left to see.

        Except that nothing is shown to a monitor that is not there.
        """
        endpoints = list(endpoints)
        if name == MONITOR:
            self._monitored = bool(endpoints)
        if found := tuple(sorted(endpoints, key=lambda e: (e.host, e.port))):
            self.services[name] = found

    def wanted_nodes(self) -> set[str]:
        """Nodes that placements name, or named once."""
        return self._wanted_nodes

    def _placed(self, models: set[str]) -> None:
        self._dirty |= models
        for model in models:
            if (placement := self.placements.documents.get(model)) is not None:
                self._wanted_nodes.update(_nodes_of(placement))

    def refuse(self, route: ModelRoute, reason: str, last_good: ModelRoute | None) -> None:
        """Envoy does not take this route: until the model's documents change, the last good one stays."""
        self.rejected[route.model] = reason
        self._refused[route.model] = route
        if self._models.get(route.model) == route:
            self._set(route.model, last_good)

    def snapshot(self) -> tuple[Snapshot, set[str]]:
        """What Envoy shall do now, and the models that changed since the last snapshot."""
        models = self.models()
        changed, self._changed = self._changed, set()
        return Snapshot(models, dict(self.nodes), dict(self.services), self._monitored), changed

    def model(self, model: str) -> ModelRoute | None:
        """What Envoy shall do for one model now."""
        if model in self._dirty:
            self._rebuild(model)
            self._dirty.discard(model)
        return self._models.get(model)

    def models(self) -> Mapping[str, ModelRoute]:
        """All of them, as they are now."""
        for model in self._dirty:
            self._rebuild(model)
        self._dirty.clear()
        return dict(self._models)

    def _rebuild(self, model: str) -> None:
        route, placement = self.routes.documents.get(model), self.placements.documents.get(model)
        made = model_route(model, route, placement, self.nodes, self.captures.documents.get(model))
        if model in self._refused and made == self._refused[model]:
            return
        self._refused.pop(model, None)
        self.rejected.pop(model, None)
        try:
            if made is not None:
                made.check()
        except SnapshotError as error:
            log.error("gateway.route_contradicts_itself", model=model, error=str(error))
            self.rejected[model] = str(error)
            return
        if made != self._models.get(model):
            self._set(model, made)

    def _set(self, model: str, route: ModelRoute | None) -> None:
        self._changed.add(model)
        if route is None:
            self._models.pop(model, None)
        else:
            self._models[model] = route


def _nodes_of(placement: PlacementDocument) -> Iterator[str]:
    for nodes in placement.versions.values():
        yield from nodes
