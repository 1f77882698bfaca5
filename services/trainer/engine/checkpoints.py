"""Checkpoints in the background: training waits for a copy in memory, never for a disk or a network."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from bmase.training.checkpoints import plain, restored

from services.trainer.engine.attempt import Kept
from services.trainer.engine.blobs import Blobs, patiently

Done = Callable[[Kept], None]


def copied(value: Any) -> Any:
    """The value as it is now, tensors on the CPU: what training changes afterwards changes no checkpoint."""
    # Code without torch has no tensors; the thread that writes may be importing it just now.
    tensor = getattr(sys.modules.get("torch"), "Tensor", None)
    if tensor is not None and isinstance(value, tensor):
        return value.detach().to("cpu", copy=True)
    if isinstance(value, Mapping):
        return {key: copied(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return (tuple if isinstance(value, tuple) else list)(copied(item) for item in value)
    if hasattr(value, "copy") and type(value).__module__ == "numpy":
        return value.copy()
    return value


class Writer:
    """Writes one at a time; of those that come meanwhile the latest. The first error is raised by what comes next.

    `seconds` is how long the last one took, from the call until it was kept.
    """

    def __init__(self, blobs: Blobs, prefix: str, folder: Path, done: Done) -> None:
        self._blobs, self._prefix, self._folder, self._done = blobs, prefix, folder, done
        self.seconds = 0.0
        self._next: tuple[int, Any, float] | None = None
        self._error: BaseException | None = None
        self._changed = threading.Condition()
        self._closed = False
        self._thread: threading.Thread | None = None

    def put(self, step: int, state: Mapping[str, Any]) -> None:
        """Returns when the state is copied."""
        began = time.monotonic()
        kept = copied(state)
        with self._changed:
            self._raise()
            self._next = (step, kept, began)
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="checkpoints", daemon=True)
                self._thread.start()
            self._changed.notify()

    def close(self) -> None:
        """Returns when the last one is kept."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join()
        self._raise()

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error

    def _work(self) -> None:
        while True:
            with self._changed:
                while self._next is None and not self._closed:
                    self._changed.wait()
                if self._next is None:
                    return
                (step, state, began), self._next = self._next, None
            try:
                self._done(self._write(step, state))
            except BaseException as error:
                self._error = error
                return
            self.seconds = time.monotonic() - began

    def _write(self, step: int, state: Any) -> Kept:
        import torch  # noqa: PLC0415  only who keeps checkpoints needs it

        file = self._folder / "checkpoint.pt"
        torch.save(plain(state), file)
        try:
            # By digest: a step may be kept twice with other states, and what is under a key never changes.
            return patiently(lambda: self._blobs.put_by_digest(f"{self._prefix}{step}-", file, ".pt", step))
        finally:
            file.unlink()


def read(blobs: Blobs, kept: Kept, folder: Path) -> Mapping[str, Any]:
    """The state; nothing in it can run code. DIGEST_MISMATCH when it is not what was kept."""
    import torch  # noqa: PLC0415

    file = folder / "resume.pt"
    blobs.get(kept, file)
    try:
        state: Mapping[str, Any] = restored(torch.load(file, map_location="cpu", weights_only=True))
    finally:
        file.unlink()
    return state
