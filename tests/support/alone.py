"""A run of a recipe that is run alone, on rows in memory whose parts are given."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from bmase.registry.v1 import registry_pb2
from bmase.training import Batch, Column, Product, Saved, Source
from bmase.training.run import ALL, DATA, TRAIN

from services.trainer.data import Manifest, Splits
from services.trainer.recipes.recipe import AloneRun, Material


class Alone(AloneRun):
    """`parts`: "validation", "test", ... -> column -> array. What was finished and told is kept to look at."""

    def __init__(
        self, folder: Path, parts: Mapping[str, Batch], versions: Mapping[str, Path], **parameters: Any
    ) -> None:
        """`versions`: model@number -> the folder with its files."""
        self.parameters, self.seed, self.folder, self.memory_bytes = parameters, 0, folder, 4 << 30
        self.product: Product | None = None
        self.told: list[tuple[int, str]] = []
        self._parts = parts
        self._files: dict[str, tuple[Manifest, Splits]] = {}
        self._materials = [Material(name, registry_pb2.Version(), at) for name, at in versions.items()]

    @property
    def materials(self) -> Sequence[Material]:
        return self._materials

    def lies_in(self, manifest: Manifest, splits: Splits) -> None:
        """As if the rows were those of files; lineage alone looks at that."""
        self._files = {DATA: (manifest, splits)}

    def parted(self, source: str = DATA) -> tuple[Manifest, Splits] | None:
        return self._files.get(source)

    def source(self, name: str = DATA) -> Source:
        first = next(iter(self._parts.values()))
        columns = tuple(Column(each, array.dtype.name, array.shape[1:]) for each, array in first.items())
        return Source(columns, sum(len(next(iter(part.values()))) for part in self._parts.values()))

    def table(self, part: str = TRAIN, columns: Sequence[str] | None = None, *, source: str = DATA) -> Batch:
        found = self._parts.values() if part == ALL else [self._parts.get(part, {})]
        names = columns if columns is not None else [column.name for column in self.source().columns]
        return {name: np.concatenate([rows[name] for rows in found]) for name in names} if any(found) else {}

    def rows(
        self,
        part: str = TRAIN,
        columns: Sequence[str] | None = None,
        *,
        source: str = DATA,
        batch: int = 1024,
        shard: bool = True,
        shuffle: int = 0,
        epoch: int = 0,
    ) -> Iterator[Batch]:
        whole = self.table(part, columns)
        length = len(next(iter(whole.values()))) if whole else 0
        for start in range(0, length, batch):
            yield {name: array[start : start + batch] for name, array in whole.items()}

    def files(self, source: str = DATA) -> tuple[Path, ...]:
        return ()

    def due(self, step: int) -> bool:
        return False

    def checkpoint(self, step: int, state: Mapping[str, Any]) -> None:
        raise AssertionError("nothing is due")

    def resume(self) -> Saved | None:
        return None

    def report(self, step: int, *, total: int = 0, epoch: float = 0.0, message: str = "", **metrics: float) -> None:
        self.told.append((step, message))

    def finish(self, product: Product) -> None:
        self.product = product
