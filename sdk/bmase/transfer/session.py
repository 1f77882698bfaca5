"""What the workers of one transfer share: the connection, the listener, and the word to stop."""

from __future__ import annotations

import contextlib
import threading
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc

from bmase.core.calls import Backoff
from bmase.errors import BmaseError, Cancelled, from_rpc
from bmase.progress import Listener, Meter

if TYPE_CHECKING:
    from bmase.sync.wire import Wire

STOPPED = "the transfer was cancelled; the same command goes on where it stopped"


class Session:
    """Safe to use from several threads."""

    def __init__(self, wire: Wire, listener: Listener) -> None:
        self.wire = wire
        self._listener = listener
        self._lock = threading.Lock()
        self._telling = threading.Lock()  # a lock of its own: a listener may call `stop`
        self._stopped = threading.Event()
        self._calls: set[Any] = set()
        self._turns: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)

    def stop(self) -> None:
        """Ends running calls and makes `check` raise from now on."""
        self._stopped.set()
        with self._lock:
            calls = list(self._calls)
        for call in calls:
            call.cancel()

    @property
    def stopped(self) -> bool:
        """Whether `stop` was called."""
        return self._stopped.is_set()

    def check(self) -> None:
        """Raises Cancelled after `stop`."""
        if self._stopped.is_set():
            raise Cancelled(STOPPED)

    def pause(self, error: BmaseError, backoff: Backoff) -> None:
        """Waits before the next attempt; raises the error when it was one too many."""
        seconds = backoff.failed()
        if seconds is None:
            raise error
        self._stopped.wait(seconds)
        self.check()

    @contextlib.contextmanager
    def running(self, call: Any) -> Iterator[Any]:
        """The call, cancelled by `stop` and at the end of the block, its failure as a BmaseError."""
        with self._lock:
            self._calls.add(call)
        try:
            self.check()
            yield call
        except grpc.FutureCancelledError:
            raise Cancelled(STOPPED) from None
        except grpc.RpcError as error:
            self.check()
            raise from_rpc(error) from None
        finally:
            call.cancel()
            with self._lock:
                self._calls.discard(call)

    def turn(self, digest: str) -> threading.Lock:
        """Held while this process uploads the digest: equal files are sent once."""
        with self._lock:
            return self._turns[digest]

    def meter(self, path: Path, total: int) -> Meter:
        """The progress of one file."""
        return Meter(str(path), total, self._listener, self._telling)
