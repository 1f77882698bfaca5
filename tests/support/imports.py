"""Imports without a trainer around them: the recipe's `main`, given files and parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bmase.training import Product

from services.trainer.imports.main import main
from services.trainer.recipes.recipe import AloneRun, Material


class ImportRun(AloneRun):
    """One import in `folder`."""

    materials: Sequence[Material] = ()

    def __init__(
        self, folder: Path, sources: Mapping[str, Sequence[Path]], parameters: Mapping[str, Any], memory_bytes: int
    ) -> None:
        self.memory_bytes = memory_bytes
        self.folder, self.sources, self.parameters, self.seed = folder, sources, parameters, 1
        self.product: Product | None = None
        self.said: list[str] = []

    def files(self, source: str = "data") -> tuple[Path, ...]:
        """Where they lie; the folder of the source's name is taken, as in a job, which has its copies there."""
        (self.folder / source).mkdir(exist_ok=True)
        return tuple(self.sources[source])

    def report(self, step: int, *, total: int = 0, epoch: float = 0.0, message: str = "", **metrics: float) -> None:
        self.said.append(message)

    def finish(self, product: Product) -> None:
        self.product = product

    def source(self, name: str = "data") -> Any:
        raise KeyError(name)

    def rows(self, part: str = "train", columns: Any = None, **_: Any) -> Any:
        raise KeyError(part)

    def table(self, part: str = "train", columns: Any = None, **_: Any) -> Any:
        raise KeyError(part)

    def due(self, step: int) -> bool:
        return False

    def checkpoint(self, step: int, state: Mapping[str, Any]) -> None:
        """Imports are too short to keep any."""

    def resume(self) -> None:
        return None


def imported(
    folder: Path, *files: Path, examples: Path | None = None, memory_bytes: int = 4 << 30, **parameters: Any
) -> Product:
    """What the import gives; raises what it raises. `memory_bytes`: of the job, as `bmase import` asks for."""
    folder.mkdir(parents=True)
    sources = {"data": files} | ({"examples": (examples,)} if examples else {})
    run = ImportRun(folder, sources, parameters, memory_bytes)
    main(run)
    assert run.product is not None
    return run.product
