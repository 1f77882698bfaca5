"""A job as its code sees it: `bmase.training.Run` over manifests, the blob store and a teller."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from bmase.reasons import Reason
from bmase.training import Batch, Column, Product, Run, Saved, Source
from bmase.training.run import DATA, TRAIN
from pydantic import TypeAdapter

from services.kit.errors import DomainError
from services.trainer.data import File, Manifest, Places, Splits
from services.trainer.data.columns import cast
from services.trainer.data.sharding import shard
from services.trainer.engine import packing
from services.trainer.engine.attempt import Attempt, Checkpointed, Kept, Logged, Measured, Progressed, Said, Step
from services.trainer.engine.blobs import Blobs, patiently
from services.trainer.engine.checkpoints import Writer, read
from services.trainer.engine.pace import Least, Pace, alone
from services.trainer.jobs.state import legible
from services.trainer.reproduce.observe import splits_of

_DAMAGED = frozenset({Reason.ARTEFACT_NOT_FOUND, Reason.DIGEST_MISMATCH})
_STEP: TypeAdapter[int] = TypeAdapter(Step)
ALL_FOR_TRAINING = Splits(train=1, validation=0, test=0)


class JobRun(Run):
    """One worker of one attempt. Close it when the code has returned; then `product` is what it has made."""

    def __init__(
        self,
        attempt: Attempt,
        manifests: Mapping[str, Manifest],
        folder: Path,
        tell: Callable[[Said], None],
        *,
        rank: int = 0,
        world_size: int = 1,
        least: Least = alone,
    ) -> None:
        self.parameters, self.seed, self.threads = attempt.parameters, attempt.spec.seed, attempt.threads
        self.rank, self.world_size, self.folder = rank, world_size, folder
        self.product: Kept | None = None
        self._attempt, self._manifests, self._tell = attempt, manifests, tell
        self._splits = splits_of(attempt.spec.split) or ALL_FOR_TRAINING
        self._blobs = Blobs(attempt.blobs)
        self._files: dict[str, tuple[Path, ...]] = {}
        prefix = f"jobs/{attempt.job}/checkpoints/{attempt.number}-"
        self._writer = Writer(self._blobs, prefix, folder, lambda kept: tell(Checkpointed(kept=kept)))
        self._least = least
        self._pace = Pace(attempt.checkpoint_seconds, least, lambda: self._writer.seconds)

    # --- data

    def source(self, name: str = DATA) -> Source:
        manifest = self._manifest(name)
        columns = tuple(Column(each.name, each.numpy, tuple(each.shape)) for each in manifest.columns)
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
        rank, world_size = (self.rank, self.world_size) if shard else (0, 1)
        return _shard(
            self._manifest(source),
            self._splits,
            part,
            columns,
            rank=rank,
            world_size=world_size,
            batch=batch,
            shuffle=shuffle,
            seed=self.seed,
            epoch=epoch,
        )

    def table(self, part: str = TRAIN, columns: Sequence[str] | None = None, *, source: str = DATA) -> Batch:
        return table(self._manifest(source), self._splits, part, columns)

    def files(self, source: str = DATA) -> tuple[Path, ...]:
        """Each is brought once, under its own name, and verified; files without rows keep their places."""
        if source not in self._files:
            self._files[source] = self._brought(self._manifest(source), self.folder / source)
        return self._files[source]

    def _brought(self, manifest: Manifest, folder: Path) -> tuple[Path, ...]:
        found: dict[Path, File] = {}
        for number, file in enumerate(manifest.files):
            place = Path(file.label if manifest.format == "files" else f"{number}/{file.uri.rsplit('/', 1)[-1]}")
            if place.is_absolute() or ".." in place.parts:
                raise DomainError(Reason.INVALID_DATA, f"a file of {folder.name!r} is called {place}")
            if folder / place in found:
                raise DomainError(Reason.INVALID_DATA, f"two files of {folder.name!r} are called {place}")
            found[folder / place] = file
        for local, file in found.items():
            local.parent.mkdir(parents=True, exist_ok=True)
            with Places().open(file) as content, local.open("wb") as out:
                shutil.copyfileobj(content, out, 2**20)
        return tuple(found)

    def _manifest(self, name: str) -> Manifest:
        if name not in self._manifests:
            known = ", ".join(sorted(self._manifests)) or "none"
            raise KeyError(f"the job has no source {name!r}; it has: {known}")
        return self._manifests[name]

    # --- state

    def due(self, step: int) -> bool:
        return self._pace.due()

    def checkpoint(self, step: int, state: Mapping[str, Any]) -> None:
        _STEP.validate_python(step)
        if self.first:
            self._writer.put(step, state)

    def resume(self) -> Saved | None:
        """From the latest checkpoint that is whole for every worker; the error of the latest when none is."""
        damage: DomainError | None = None
        for kept in self._attempt.checkpoints:
            saved, error = self._read(kept)
            if self._least(int(saved is not None)):
                return saved
            damage = damage or error or DomainError(Reason.DIGEST_MISMATCH, f"another worker cannot read {kept.key}")
        if damage is not None:
            raise damage
        return None

    def _read(self, kept: Kept) -> tuple[Saved | None, DomainError | None]:
        """What is kept there, or what is wrong with it."""
        try:
            return Saved(kept.step, read(self._blobs, kept, self.folder)), None
        except DomainError as error:
            if error.reason not in _DAMAGED:
                raise
            text = legible(f"the checkpoint of step {kept.step} cannot be used: {error.message}")
            self._tell(Logged(time=time.time(), text=text, worker=self.rank, stderr=True))
            return None, error

    # --- telling

    def report(self, step: int, *, total: int = 0, epoch: float = 0.0, message: str = "", **metrics: float) -> None:
        if not self.first:
            return
        self._tell(Progressed(step=step, total=total, epoch=epoch, message=legible(message)))
        if metrics:
            values = {name: float(value) for name, value in metrics.items()}
            self._tell(Measured(time=time.time(), step=step, values=values))

    def finish(self, product: Product) -> None:
        if not self.first:
            return
        packed = self.folder / "product.tar"
        packing.pack(product, packed)
        self.product = patiently(lambda: self._blobs.put_by_digest(f"jobs/{self._attempt.job}/product-", packed))
        packed.unlink()

    def close(self) -> None:
        """Returns when the last checkpoint is kept; INVALID_MODEL_FILE when the code has made nothing."""
        self._writer.close()
        if self.first and self.product is None:
            hint = "End the training with run.finish(Product(...))."
            raise DomainError(Reason.INVALID_MODEL_FILE, "the code has returned without a product", hint=hint)


_shard = shard


def table(
    manifest: Manifest,
    splits: Splits,
    name: str,
    columns: Sequence[str] | None = None,
    *,
    every: int = 1,
    most: int | None = None,
) -> dict[str, np.ndarray]:
    """Rows of a part in memory: one of `every`, at most `most`; arrays without rows where there are none."""
    batches = list(_thinned(shard(manifest, splits, name, columns), every, most))
    if batches:
        return {column: np.concatenate([batch[column] for batch in batches]) for column in batches[0]}
    wanted = [each for each in manifest.columns if columns is None or each.name in columns]
    return {each.name: cast(np.empty((0, *each.shape)), each) for each in wanted}


def _thinned(batches: Iterator[Batch], every: int, most: int | None) -> Iterator[Batch]:
    """What is left out is not held either."""
    seen = taken = 0
    for batch in batches:
        first, seen = -seen % every, seen + len(next(iter(batch.values())))
        left = None if most is None else most - taken
        some = {name: array[first::every][:left].copy() for name, array in batch.items()}
        taken += len(next(iter(some.values())))
        yield some
        if most is not None and taken >= most:
            return
