"""A `Run` over the manifests of a record: one worker, no checkpoints, nobody who listens."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, Protocol
from urllib.parse import urlsplit

import numpy as np
from bmase.training import Batch, Column, Product, Run, Saved, Source
from bmase.training.run import DATA, TRAIN

from services.trainer.data import File, Manifest, Places, Splits
from services.trainer.data import Source as Files
from services.trainer.data import shard as sharded
from services.trainer.data.columns import BYTES, TEXT, TIME
from services.trainer.reproduce.record import Record

ALL_TRAIN = Splits(train=1, validation=0, test=0)


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
        data, known = self._data[source], self._files.get(source)
        return sharded(
            data.manifest,
            data.splits or ALL_TRAIN,
            part,
            columns,
            batch=batch,
            shuffle=shuffle,
            seed=self.seed,
            epoch=epoch,
            source=known,
        )

    def table(self, part: str = TRAIN, columns: Sequence[str] | None = None, *, source: str = DATA) -> Batch:
        """See `Run`."""
        found = list(self.rows(part, columns, source=source))
        if not found:
            return _empty(self._data[source].manifest, columns)
        return {name: np.concatenate([each[name] for each in found]) for name in found[0]}

    def files(self, source: str = DATA) -> tuple[Path, ...]:
        """See `Run`; verified copies."""
        manifest = self._data[source].manifest
        return tuple(self._copied(file, str(number), source) for number, file in enumerate(manifest.files))

    def _copied(self, file: File, number: str, source: str) -> Path:
        """In a folder of its own: two files may have one name."""
        path = self.folder / "files-of-sources" / source / number / PurePosixPath(urlsplit(file.uri).path).name
        if not path.exists():
            path.parent.mkdir(parents=True)
            with (self._files.get(source) or Places()).open(file) as content, path.open("wb") as target:
                shutil.copyfileobj(content, target)
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


def _empty(manifest: Manifest, columns: Sequence[str] | None) -> Batch:
    chosen = [each for each in manifest.columns if columns is None or each.name in columns]
    return {each.name: np.empty((0, *each.shape), _dtype(each.dtype)) for each in chosen}


def _dtype(kind: str) -> str:
    """numpy's name for what arrays of a column are."""
    return {TEXT: "object", BYTES: "object", TIME: "datetime64[us]"}.get(kind, kind)
