"""Rows of a small model with a reference, and an engine that is fed with them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from bmase.monitor.v1 import monitor_pb2 as pb

from services.monitor.alerts.model import Finding, Scope
from services.monitor.drift.engine import DriftEngine
from services.monitor.drift.settings import DriftSettings
from services.monitor.sketches import Role

MODEL, VERSION = "credit", 2
NAME = f"models/{MODEL}/versions/{VERSION}"
SETTINGS = DriftSettings(window_rows=1_000, window_seconds=10)
COLOURS = np.array([b"red", b"green", b"blue"], object)


class Traffic:
    """Four numbers and a colour come in, a score of two classes goes out."""

    def __init__(self, seed: int = 0) -> None:
        self._rng = np.random.default_rng(seed)

    def inputs(self, rows: int, shift: float = 0.0) -> dict[str, np.ndarray]:
        numbers = self._rng.normal(size=(rows, 4)).astype(np.float32)
        numbers[:, 2] += shift
        return {"x": numbers, "colour": self._rng.choice(COLOURS, (rows, 1), p=[0.6, 0.3, 0.1])}

    def outputs(self, rows: int, yes: float = 0.3) -> dict[str, np.ndarray]:
        score = self._rng.random(rows).astype(np.float32) / 2 + 0.5 * (self._rng.random(rows) < yes)
        return {"p": np.stack([1 - score, score], axis=1).astype(np.float32)}


def reference(rows: int = 4_000, seed: int = 99) -> pb.PutReferenceRequest:
    traffic = Traffic(seed)
    request = pb.PutReferenceRequest(name=NAME)
    for side, tensors in ((request.inputs, traffic.inputs(rows)), (request.outputs, traffic.outputs(rows))):
        for name, array in tensors.items():
            text = array.dtype == object
            raw = (
                b"".join(len(item).to_bytes(4, "little") + item for item in array.ravel()) if text else array.tobytes()
            )
            side.add(name=name, datatype="BYTES" if text else "FP32", shape=array.shape, raw=raw)
    return request


class Fed:
    """An engine with the reference; a look every 100 rows, a second apart."""

    def __init__(self, folder: Path, settings: DriftSettings = SETTINGS, *, with_reference: bool = True) -> None:
        self.engine = DriftEngine(folder, settings)
        self.traffic = Traffic()
        self.now = 1_000.0
        if with_reference:
            self.engine.put_reference(reference(), self.now)

    def feed(
        self, rows: int, shift: float = 0.0, yes: float = 0.3, version: int = VERSION
    ) -> dict[Scope, list[Finding]]:
        """What is found after the rows."""
        found: dict[Scope, list[Finding]] = {}
        for _ in range(rows // 100):
            self.engine.add(MODEL, version, self.traffic.inputs(100, shift), Role.INPUT)
            self.engine.add(MODEL, version, self.traffic.outputs(100, yes), Role.OUTPUT)
            found = self.look()
        return found

    def look(self) -> dict[Scope, list[Finding]]:
        self.now += 1
        return self.engine.tick(self.now)


def drift_of(found: dict[Scope, list[Finding]]) -> list[str]:
    """Tensors that drifted."""
    return [finding.feature for finding in found.get(Scope(MODEL, VERSION, "drift"), [])]


def quality_of(found: dict[Scope, list[Finding]]) -> list[Finding]:
    return found.get(Scope(MODEL, VERSION, "quality"), [])
