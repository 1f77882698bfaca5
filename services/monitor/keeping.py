"""Keeps comparisons and counters for the next process: what runs at every look, what ended when it ends."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import structlog

from services.monitor.comparison import Comparison
from services.monitor.snapshots import Snapshot

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Kept:
    """What an earlier process left. `away`: seconds since it last wrote; 0 when nothing ran."""

    comparisons: tuple[Comparison, ...] = ()
    counters: Mapping[str, Any] = field(default_factory=dict)
    away: float = 0.0


class Keeper:
    """Two files, as the ended comparisons are many and do not change."""

    def __init__(self, folder: Path) -> None:
        self._running = Snapshot(folder / "comparisons.json")
        self._ended = Snapshot(folder / "comparisons-ended.json")
        self._ended_names: frozenset[str] = frozenset()
        self._turn = asyncio.Lock()
        self.seconds = 0.0
        self.unsaved = 0  # looks in a row whose results are in memory only

    def load(self) -> Kept:
        """A comparison that is in both files has ended: that file is written first."""
        written, state = self._running.load()
        ended = _comparisons(self._ended, self._ended.load()[1])
        names = frozenset(comparison.definition.name for comparison in ended)
        running = [c for c in _comparisons(self._running, state) if c.definition.name not in names]
        self._ended_names = names if self._ended.exists else frozenset()
        return Kept((*ended, *running), state.get("counters", {}), time.time() - written if running else 0.0)

    async def save(self, comparisons: Iterable[Comparison], counters: Mapping[str, Any]) -> None:
        """What cannot be written is written at the next look; judging goes on."""
        async with self._turn:
            begun, every = time.monotonic(), list(comparisons)
            over = [comparison for comparison in every if comparison.ended is not None]
            names = frozenset(comparison.definition.name for comparison in over)
            try:
                if names != self._ended_names:
                    await asyncio.to_thread(self._ended.save, {"comparisons": _states(over)})
                    self._ended_names = names
                running = _states(comparison for comparison in every if comparison.ended is None)
                await asyncio.to_thread(self._running.save, {"comparisons": running, "counters": counters})
                self.unsaved = 0
            except OSError as error:
                self.unsaved += 1
                if self.unsaved == 1:
                    log.error("monitor.not_saved", reason=str(error))
            self.seconds = time.monotonic() - begun


def _states(comparisons: Iterable[Comparison]) -> list[dict[str, Any]]:
    """One that cannot be written, which is a defect, must not keep the others from it."""
    states = []
    for comparison in comparisons:
        try:
            states.append(comparison.to_json())
        except ValueError:
            log.exception("monitor.comparison_not_kept", comparison=comparison.definition.name)
    return states


def _comparisons(file: Snapshot, state: Mapping[str, Any]) -> list[Comparison]:
    found, unreadable = [], ""
    for kept in state.get("comparisons", ()):
        try:
            found.append(Comparison.from_json(kept))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            unreadable = f"{type(error).__name__}: {error}"
    if unreadable:
        file.put_aside(unreadable)
    return found
