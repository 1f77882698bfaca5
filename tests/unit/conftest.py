"""Unit tests talk to nobody: a socket that would leave the process is an error in the test."""

from __future__ import annotations

import socket

import pytest


class SocketBlocked(RuntimeError):
    """A unit test tried to use the network; it belongs in tests/integration."""


@pytest.fixture(autouse=True)
def _no_sockets(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: socket.socket, address: object, *_: object) -> None:
        raise SocketBlocked(f"unit test used a socket: {address!r}")

    # Socket pairs stay allowed: every event loop has one.
    for method in ("connect", "connect_ex", "bind"):
        monkeypatch.setattr(socket.socket, method, refuse)
