"""Tells the patcher what this node is and how far it is, through keys bound to the agent's session."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping

from services.kit.consul import Session
from services.kit.consul.documents import Document
from services.patcher.documents import Alive, Status, node_alive, status_key


class Publisher:
    """Keeps Consul's copy of the node's word current; never makes the node wait for Consul."""

    def __init__(self, session: Session, node: str) -> None:
        self._session = session
        self._node = node
        self._wanted: dict[str, Document] = {}
        self._written: dict[str, Document] = {}
        self._wake = asyncio.Event()

    def alive(self, usable: bool, message: str) -> None:
        """The node is there; `usable` when it may take models."""
        self._say(node_alive(self._node), Alive(usable=usable, message=message))

    def statuses(self, statuses: Mapping[str, Status]) -> None:
        """All models of the node; those that are not among them are gone from it."""
        keys = {status_key(self._node, model): status for model, status in statuses.items()}
        for key in self._wanted.keys() - keys.keys() - {node_alive(self._node)}:
            del self._wanted[key]
            self._wake.set()
        for key, status in keys.items():
            self._say(key, status)

    async def run(self) -> None:
        """Writes what changed, until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            for key in self._written.keys() - self._wanted.keys():
                await self._session.delete(key)
                del self._written[key]
            for key, document in list(self._wanted.items()):
                if self._written.get(key) != document:
                    await self._session.put(key, document.encode())
                    self._written[key] = document

    def _say(self, key: str, document: Alive | Status) -> None:
        """`since` is when the state was first said; a new message alone does not move it."""
        before = self._wanted.get(key)
        since = time.time()
        if isinstance(before, Alive | Status) and _state(before) == _state(document):
            since = before.since
        document = document.model_copy(update={"since": since})
        if document != before:
            self._wanted[key] = document
            self._wake.set()


def _state(document: Alive | Status) -> object:
    if isinstance(document, Alive):
        return document.usable
    return (document.version, document.digest, document.state)
