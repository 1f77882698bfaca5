"""What the node is told to run, kept on disk so that it goes on without Consul. Merging is pure."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import structlog
from pydantic import Field

from services.patcher.agent.files import write_atomically
from services.patcher.documents import SYNCED, Desired, Document, Synced, read

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
    synced = read(Synced, entries[SYNCED]) if SYNCED in entries else None
    complete = synced is not None and synced.epoch == epoch
    models = {} if complete else dict(kept.models)
    for name, raw in entries.items():
        desired = read(Desired, raw) if name != SYNCED else None
        if desired is not None and desired.model == name:
            models[name] = desired
        elif name in kept.models:
            models[name] = kept.models[name]
    return Orders(epoch=epoch, models=models)


class OrderBook:
    """The last orders, on disk."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.orders = self._load()

    def take(self, orders: Orders) -> bool:
        """Keeps the orders; True when they differ from the last ones. A full disk costs only the copy."""
        if orders == self.orders:
            return False
        self.orders = orders
        try:
            write_atomically(self._path, orders.encode())
        except OSError as error:
            log.warning("orders_not_kept", error=error.strerror)
        return True

    def _load(self) -> Orders:
        try:
            return read(Orders, self._path.read_bytes()) or Orders()
        except OSError:
            return Orders()
