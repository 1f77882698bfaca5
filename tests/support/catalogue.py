"""Affine models for a suite: every version answers with numbers of its own, so that none can pass for another."""

from __future__ import annotations

from pathlib import Path

from tests.support.onnx_models import affine
from tests.support.suite import Suite


class Catalogue:
    """Pushes and deploys affine models: version n of a model answers y = a * x + b with numbers of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def push(self, suite: Suite, model: str, a: float, b: float) -> int:
        """The new version's number."""
        file = self._folder / f"{model}-{a}-{b}.onnx"
        file.write_bytes(affine(a, b).SerializeToString())
        return suite.client.push(model, file).number

    def serve(self, suite: Suite, model: str, a: float, b: float, replicas: int = 1) -> int:
        """Pushes and deploys; a model's first version also gets its traffic."""
        version = self.push(suite, model, a, b)
        suite.client.deploy(model, version, replicas=replicas, timeout=60)
        return version
