"""The engine at work: fed by what samples show, looked at once a second, told to the alerts, written down.

drift = LiveDrift(engine, alerts, hidden=lambda model: captures.of(model).hidden)
drift.add(looked)                in the thread that decodes
await drift.run()                restores first; while this monitor leads
"""

# ruff: noqa: N802 - the contract names the methods

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection
from typing import Annotated

import numpy as np
import structlog
from bmase.monitor.v1 import monitor_pb2 as pb
from pydantic import BaseModel, ConfigDict, Field

from services.kit.decode import VersionResource, decode
from services.monitor.alerts import Alerts
from services.monitor.drift.engine import DriftEngine
from services.monitor.oip import Tensors
from services.monitor.samples.looking import Looked
from services.monitor.sketches import Role

log = structlog.get_logger(__name__)

TICK_SECONDS = 1.0
SNAPSHOT_SECONDS = 30.0
MAX_FEATURES = 2_000


class _GetDrift(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    name: VersionResource
    limit: Annotated[int, Field(ge=0, le=MAX_FEATURES)] = 0


class LiveDrift:
    """One a process. `hidden` names the tensors of a model that must not be looked at."""

    def __init__(
        self,
        engine: DriftEngine,
        alerts: Alerts,
        hidden: Callable[[str], Collection[str]] = lambda model: (),
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._engine, self._alerts, self._hidden, self._clock = engine, alerts, hidden, clock

    def add(self, looked: Looked) -> None:
        """Adds a request and its answer; failed requests have no outputs."""
        model, version = looked.sample.model, looked.sample.version
        hidden = self._hidden(model)
        for role, tensors in ((Role.INPUT, looked.inputs), (Role.OUTPUT, looked.outputs)):
            if tensors:
                self._engine.add(model, version, _arrays(tensors), role, hidden)

    async def run(self) -> None:
        """Looks until it is cancelled; then writes down what there is."""
        await asyncio.to_thread(self._engine.restore)
        written = self._clock()
        try:
            while True:
                await asyncio.sleep(TICK_SECONDS)
                await self.look()
                if self._clock() - written >= SNAPSHOT_SECONDS:
                    written = self._clock()
                    await asyncio.to_thread(self._write)
        finally:
            self._write()

    async def look(self) -> None:
        """One look: what is found opens alerts, what is clean again resolves them."""
        now = self._clock()
        found = await asyncio.to_thread(self._engine.tick, now)
        self._alerts.apply(found, now)

    async def PutReference(self, request: pb.PutReferenceRequest) -> pb.Reference:
        return await asyncio.to_thread(self._engine.put_reference, request, self._clock())

    async def GetDrift(self, request: pb.GetDriftRequest) -> pb.DriftReport:
        asked = decode(_GetDrift, request)
        return await asyncio.to_thread(self._engine.report, asked.name.model, asked.name.version, asked.limit)

    async def outputs(self, model: str, stable: int, candidate: int) -> list[pb.FeatureDrift]:
        """What two versions answer, side by side."""
        return await asyncio.to_thread(self._engine.compare, model, stable, candidate)

    def _write(self) -> None:
        """A disk that is full costs what a restart would remember, and nothing else."""
        try:
            self._engine.snapshot()
        except OSError as error:
            log.warning("monitor.live_state_not_written", error=error.strerror)


def _arrays(tensors: Tensors) -> dict[str, np.ndarray]:
    return {name: tensor.array for name, tensor in tensors.items()}
