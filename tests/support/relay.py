"""A TCP relay before a real server: links that break, refuse and come back, on one machine."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import Self

from tests.support.ports import free_port

BLOCK = 64 * 1024


class Relay:
    """Passes bytes between its own port and the server's; `cut_after` breaks the link once so many have passed."""

    def __init__(self, server_port: int) -> None:
        self.port = free_port()
        self.cut_after: int | None = None
        self.passed = 0
        self.cuts = 0
        self._server_port = server_port
        self._lock = threading.Lock()
        self._links: set[socket.socket] = set()
        self._listener: socket.socket | None = None

    @property
    def address(self) -> str:
        """Where clients connect."""
        return f"127.0.0.1:{self.port}"

    def start(self) -> Self:
        """Listens (again)."""
        listener = socket.create_server(("127.0.0.1", self.port))
        self._listener = listener
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()
        return self

    def stop(self) -> None:
        """Refuses new links and breaks those there are."""
        if self._listener is not None:
            with contextlib.suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None
        self.cut()

    def cut(self) -> None:
        """Breaks all links."""
        with self._lock:
            links, self._links = list(self._links), set()
            self.cuts += bool(links)
        for link in links:
            with contextlib.suppress(OSError):
                link.shutdown(socket.SHUT_RDWR)
            link.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
                server = socket.create_connection(("127.0.0.1", self._server_port))
            except OSError:
                return
            with self._lock:
                self._links |= {client, server}
            for source, target in ((client, server), (server, client)):
                threading.Thread(target=self._pump, args=(source, target), daemon=True).start()

    def _pump(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while block := source.recv(BLOCK):
                target.sendall(block)
                if self._reached(len(block)):
                    self.cut()
        for link in (source, target):
            with contextlib.suppress(OSError):
                link.shutdown(socket.SHUT_RDWR)

    def _reached(self, count: int) -> bool:
        with self._lock:
            self.passed += count
            if self.cut_after is None or self.passed < self.cut_after:
                return False
            self.passed, self.cut_after = 0, None
            return True
