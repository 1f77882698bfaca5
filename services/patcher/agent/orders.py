"""What the node is told to run, kept on disk so that it goes on without Consul. Merging is pure."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import structlog
from pydantic import Field

from services.kit.consul.documents import Document, read
from services.kit.files import write_atomically
from services.patcher.documents import SYNCED, Desired, Synced

log = structlog.get_logger(__name__)


class Orders(Document):
    """The models that the node is to run, by name."""

    epoch: str = ""
    models: dict[str, Desired] = Field(default_factory=dict)


def merged(kept: Orders, epoch: str, entries: Mapping[str, bytes]) -> Orders:
    """The orders after a look at Consul; `entries` are the node's desired keys without their prefix.

    An absent model is an order to unload it only once the patcher has marked the node's orders complete under this very
    epoch. What cannot be read is treated as unchanged: a broken document must not take a live model down.
    """
    models = {} if are_complete(epoch, entries) else dict(kept.models)
    for name, raw in entries.items():
        desired = read(Desired, raw) if name != SYNCED else None
        if desired is not None and desired.model == name:
            models[name] = desired
        elif name in kept.models:
            models[name] = kept.models[name]
    return Orders(epoch=epoch, models=models)


def are_complete(epoch: str, entries: Mapping[str, bytes]) -> bool:
    """Whether these are all orders of the node: the patcher has said so under this very epoch."""
    synced = read(Synced, entries[SYNCED]) if SYNCED in entries else None
    return synced is not None and synced.epoch == epoch


class OrderBook:
    """The last orders, on disk.

    `confirmed`: this process has read complete orders in Consul. The copy alone may be old, or lost: what it does not
    name must not be taken down for that.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.orders = self._load()
        self.confirmed = False
        self._unsaved = False
        self._failing = False

    def take(self, orders: Orders, complete: bool) -> bool:
        """Keeps the orders; True when there is news in them. A full disk costs only the copy."""
        news = orders != self.orders or (complete and not self.confirmed)
        self.confirmed = self.confirmed or complete
        self._unsaved = self._unsaved or orders != self.orders
        self.orders = orders
        self.save()
        return news

    def save(self) -> None:
        """Writes what is not on disk yet; to be called again until it is."""
        if not self._unsaved:
            return
        try:
            write_atomically(self._path, self.orders.encode())
        except OSError as error:
            if not self._failing:
                log.warning("orders_not_kept", error=error.strerror)
            self._failing = True
        else:
            self._unsaved = self._failing = False

    def _load(self) -> Orders:
        try:
            return read(Orders, self._path.read_bytes()) or Orders()
        except OSError:
            return Orders()
