"""A `Run` over the manifests of a record: one worker, no checkpoints, nobody who listens."""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import numpy as np
from bmase.training import Batch, Column, Product, Run, Saved, Source
from bmase.training.run import ALL, DATA, TRAIN

from services.trainer.data import Manifest, Part, Places, part, read
from services.trainer.data import Source as Files
from services.trainer.data.columns import BYTES, TEXT, TIME
from services.trainer.reproduce.record import Data, Record


class Told(Protocol):
    """Who hears of progress."""

    def __call__(self, step: int, total: int, message: str, metrics: Mapping[str, float]) -> None: ...


def _nobody(step: int, total: int, message: str, metrics: Mapping[str, float]) -> None:
    """Progress is nobody's concern."""


class RecordRun(Run):
    """Gives the record's parameters, seed and rows; keeps what is reported, and the product."""

    def __init__(
        self, record: Record, folder: Path, files: Mapping[str, Files] | None = None, told: Told = _nobody
    ) -> None:
        """`folder`: empty. `files`: where a source's files are read from, if not where its manifest says."""
        self.parameters: Mapping[str, Any] = record.parameters
        self.seed, self.threads = record.seed, record.determinism.plan.threads
        self.folder = folder
        self.series: dict[str, dict[int, float]] = {}
        self.product: Product | None = None
        self._data = record.data
        self._files = files or {}
        self._told = told

    def source(self, name: str = DATA) -> Source:
        """See `Run`."""
        manifest = self._data[name].manifest
        columns = tuple(Column(each.name, _dtype(each.dtype), tuple(each.shape)) for each in manifest.columns)
        return Source(columns, manifest.rows, manifest.classes)

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
        """See `Run`; one worker's shard is all."""
        batches = parted(self._data[source], part, columns, batch, self._files.get(source))
        if not shuffle:
            return batches
        return shuffled(batches, shuffle, batch, np.random.default_rng([self.seed, epoch]))

    def table(self, part: str = TRAIN, columns: Sequence[str] | None = None, *, source: str = DATA) -> Batch:
        """See `Run`."""
        found = list(parted(self._data[source], part, columns, 65_536, self._files.get(source)))
        if not found:
            return _empty(self._data[source].manifest, columns)
        return {name: np.concatenate([each[name] for each in found]) for name in found[0]}

    def files(self, source: str = DATA) -> tuple[Path, ...]:
        """See `Run`; verified copies."""
        kept = self.folder / "files-of-sources" / source
        kept.mkdir(parents=True, exist_ok=True)
        return tuple(self._copied(file.uri, file, kept, source) for file in self._data[source].manifest.files)

    def _copied(self, uri: str, file: Any, kept: Path, source: str) -> Path:
        path = kept / Path(uri).name
        if not path.exists():
            with (self._files.get(source) or Places()).open(file) as content:
                _copy(content, path)
        return path

    def due(self, step: int) -> bool:
        """See `Run`; what is started again begins anew."""
        return False

    def checkpoint(self, step: int, state: Mapping[str, Any]) -> None:
        """See `Run`."""

    def resume(self) -> Saved | None:
        """See `Run`."""
        return None

    def report(self, step: int, *, total: int = 0, epoch: float = 0.0, message: str = "", **metrics: float) -> None:
        """See `Run`."""
        for name, value in metrics.items():
            self.series.setdefault(name, {})[step] = float(value)
        self._told(step, total, message, metrics)

    def finish(self, product: Product) -> None:
        """See `Run`."""
        self.product = product


def parted(data: Data, name: str, columns: Sequence[str] | None, rows: int, files: Files | None) -> Iterator[Batch]:
    """Rows of one part. Without a split all of them train, and the other parts are empty."""
    if name == ALL or (data.splits is None and name == TRAIN):
        return read(data.manifest, columns, rows, files)
    if data.splits is None:
        return iter(())
    return part(data.manifest, data.splits, Part(name), columns, rows=rows, source=files)


def shuffled(batches: Iterator[Batch], buffer: int, rows: int, numbers: np.random.Generator) -> Iterator[Batch]:
    """All rows in blocks of at least `buffer` rows, each block in an order of its own, cut into batches of `rows`."""
    held: list[Batch] = []
    size = math.ceil(buffer / rows) * rows
    for batch in batches:
        held.append(batch)
        if sum(map(_length, held)) >= size:
            yield from _mixed(held, rows, numbers)
            held = []
    if held:
        yield from _mixed(held, rows, numbers)


def _mixed(held: Sequence[Batch], rows: int, numbers: np.random.Generator) -> Iterator[Batch]:
    whole = {name: np.concatenate([each[name] for each in held]) for name in held[0]}
    order = numbers.permutation(_length(whole))
    for start in range(0, len(order), rows):
        yield {name: array[order[start : start + rows]] for name, array in whole.items()}


def _length(batch: Batch) -> int:
    return len(next(iter(batch.values()))) if batch else 0


def _empty(manifest: Manifest, columns: Sequence[str] | None) -> Batch:
    chosen = [each for each in manifest.columns if columns is None or each.name in columns]
    return {each.name: np.empty((0, *each.shape), _dtype(each.dtype)) for each in chosen}


def _dtype(kind: str) -> str:
    """numpy's name for what arrays of a column are."""
    return {TEXT: "object", BYTES: "object", TIME: "datetime64[us]"}.get(kind, kind)


def _copy(content: BinaryIO, path: Path) -> None:
    beside = path.with_name(f".{path.name}")
    try:
        with beside.open("wb") as target:
            shutil.copyfileobj(content, target)
        beside.replace(path)
    finally:
        with suppress(OSError):
            beside.unlink()
