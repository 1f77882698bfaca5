"""What every foreign model can be asked."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

import numpy as np


class NeedsInput(ValueError):  # noqa: N818 - what is missing, not a defect
    """The format does not tell what the model takes: the parameter `inputs` has to."""


class Original(ABC):
    """A model as it was. `origin` says with what it was read; `ranges` bounds integers and other inputs by name."""

    ranges: Mapping[str, tuple[float, float]] = {}
    notes: Sequence[str] = ()

    @property
    @abstractmethod
    def origin(self) -> dict[str, str]:
        """Class and versions of libraries."""

    @abstractmethod
    def convert(self, target: Path) -> None:
        """Writes it as ONNX, in one file."""

    @abstractmethod
    def answer(self, inputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """Its own answers, in the order of the converted model's outputs; raises what it raises."""


def versions(*packages: str) -> dict[str, str]:
    """Package -> version."""
    return {package: version(package) for package in packages}
