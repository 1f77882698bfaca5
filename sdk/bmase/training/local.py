"""The same code without BMASE: files on this machine, checkpoints in a folder, one worker or those of `torchrun`.

Rows are parted by where they lie: of each ten rows the first is for test, the second for validation, the rest for
training. The platform parts them by what they hold, so that rows never change sides as data grow: a figure measured
here is of other rows than one measured there.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from bmase.training import checkpoints, progress
from bmase.training.order import dealt, positions, shuffled
from bmase.training.product import Product
from bmase.training.run import DATA, TRAIN, Batch, Column, Run, Saved, Source
from bmase.training.tables import DataFileError, Table, load

EVERY_SECONDS = 30.0


class SourceMissingError(DataFileError, KeyError):
    """The code asks for a source that the command line does not name."""

    def __str__(self) -> str:
        return str(self.args[0])


class LocalRun(Run):
    """A run on files of this machine. With it as a context its `folder` is gone afterwards."""

    def __init__(
        self,
        data: Mapping[str, Path] | None = None,
        parameters: Mapping[str, Any] | None = None,
        *,
        seed: int = 0,
        out: Path | None = None,
        checkpoints: Path | None = None,
        every: int = 0,
        rank: int = 0,
        world_size: int = 1,
        quiet: bool = False,
    ) -> None:
        """`out`: where the product goes. `every`: steps from checkpoint to checkpoint; 0: each 30 seconds."""
        self.parameters = dict(parameters or {})
        self.seed, self.rank, self.world_size = seed, rank, world_size
        self.threads = int(os.environ.get("OMP_NUM_THREADS") or len(os.sched_getaffinity(0)))
        # Also gone when nobody used the run as a context.
        self._scratch = tempfile.TemporaryDirectory(prefix="bmase-run-", ignore_cleanup_errors=True)
        self.folder = Path(self._scratch.name)
        self.product: Product | None = None
        self.metrics: list[dict[str, float]] = []  # as reported, each with its step
        self._paths = dict(data or {})
        self._tables: dict[str, Table] = {}
        self._out, self._checkpoints, self._every = out, checkpoints, every
        self._quiet = quiet or not self.first
        self._saved_at, self._saved_step = time.monotonic(), 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._quiet:
            self._progress.close()
        self._scratch.cleanup()

    @cached_property
    def _progress(self) -> progress.Lines | progress.Bar:
        return progress.on_stderr()

    def _table(self, source: str) -> Table:
        if source not in self._paths:
            raise SourceMissingError(f"there is no data named {source!r}: give --data {source}=PATH")
        if source not in self._tables:
            self._tables[source] = load(self._paths[source])
        return self._tables[source]

    def source(self, name: str = DATA) -> Source:
        """See `Run`."""
        table = self._table(name)
        columns = tuple(Column(each, array.dtype.name, array.shape[1:]) for each, array in table.columns.items())
        return Source(columns, table.rows, table.classes)

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
        """See `Run`."""
        chosen = self._chosen(source, columns)
        order = positions(part, self._table(source).rows)
        if shuffle:
            order = shuffled(order, shuffle, np.random.default_rng([self.seed, epoch]))
        if shard:
            order = dealt(order, self.rank, self.world_size)
        for start in range(0, len(order), batch):
            taken = order[start : start + batch]
            yield {name: array[taken] for name, array in chosen.items()}

    def table(self, part: str = TRAIN, columns: Sequence[str] | None = None, *, source: str = DATA) -> Batch:
        """See `Run`."""
        order = positions(part, self._table(source).rows)
        return {name: array[order] for name, array in self._chosen(source, columns).items()}

    def _chosen(self, source: str, columns: Sequence[str] | None) -> dict[str, np.ndarray]:
        table = self._table(source)
        for name in columns or ():
            if name not in table.columns:
                raise DataFileError(
                    f"{self._paths[source]} has no column {name}; there are: {', '.join(table.columns)}"
                )
        return {name: table.columns[name] for name in (table.columns if columns is None else columns)}

    def files(self, source: str = DATA) -> tuple[Path, ...]:
        """See `Run`."""
        return self._table(source).files

    def due(self, step: int) -> bool:
        """See `Run`. Never without a folder for checkpoints."""
        if self._checkpoints is None:
            return False
        if self._every:
            return step - self._saved_step >= self._every
        return _agreed(time.monotonic() - self._saved_at >= EVERY_SECONDS, self.world_size)

    def checkpoint(self, step: int, state: Mapping[str, Any]) -> None:
        """See `Run`; here it is written when this returns."""
        if self.first and self._checkpoints is not None:
            checkpoints.write(self._checkpoints, step, state)
        self._saved_at, self._saved_step = time.monotonic(), step

    def resume(self) -> Saved | None:
        """See `Run`."""
        saved = checkpoints.last(self._checkpoints) if self._checkpoints is not None else None
        self._saved_step = saved.step if saved else 0
        return saved

    def report(self, step: int, *, total: int = 0, epoch: float = 0.0, message: str = "", **metrics: float) -> None:
        """See `Run`."""
        if self.first:
            self.metrics.append({"step": step, **metrics})
            if not self._quiet:
                self._progress.show(step, total, message, metrics)

    def finish(self, product: Product) -> None:
        """See `Run`."""
        if not self.first:
            return
        self.product = product
        if self._out is not None:
            shutil.copytree(product.folder, self._out, dirs_exist_ok=True)
            for name, path in product.evidence.items():
                (self._out / "evidence" / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, self._out / "evidence" / name)


def _agreed(due: bool, world_size: int) -> bool:
    """What rank 0 says: clocks of workers differ."""
    if world_size == 1:
        return due
    import torch  # noqa: PLC0415 - workers are those of torchrun
    from torch import distributed  # noqa: PLC0415

    told = torch.tensor(due)
    distributed.broadcast(told, 0)
    return bool(told)


def local(main: Callable[[Run], None], argv: Sequence[str] | None = None) -> None:
    """Runs `main` with what the command line says; in every process of `torchrun`, if that started this one."""
    given = _parser(main).parse_args(argv)
    rank, world_size = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    try:
        with _joined(world_size), _run(given, rank, world_size) as run:
            main(run)
    except (DataFileError, checkpoints.TorchMissingError) as error:
        sys.exit(f"error: {error}")
    if run.product is not None and not given.out:
        print("the product is not kept: name a folder by --out", file=sys.stderr)


def _run(given: argparse.Namespace, rank: int, world_size: int) -> LocalRun:
    return LocalRun(
        dict(given.data),
        dict(given.set),
        seed=given.seed,
        out=given.out,
        checkpoints=given.checkpoints,
        every=given.every,
        rank=rank,
        world_size=world_size,
    )


class _joined:  # noqa: N801 - read as a function
    """The process group of torchrun's workers, unless there is one."""

    def __init__(self, world_size: int) -> None:
        self._needed = world_size > 1

    def __enter__(self) -> None:
        if self._needed:
            from torch import cuda, distributed  # noqa: PLC0415

            self._needed = not distributed.is_initialized()
            if self._needed:
                if cuda.is_available():
                    cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
                # What workers agree on lies on the CPU.
                distributed.init_process_group("cpu:gloo,cuda:nccl" if cuda.is_available() else "gloo")

    def __exit__(self, *_: object) -> None:
        if self._needed:
            from torch import distributed  # noqa: PLC0415

            distributed.destroy_process_group()


def _parser(main: Callable[[Run], None]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=sys.modules[main.__module__].__doc__)
    add = parser.add_argument
    add("--data", action="append", default=[], type=_data, metavar="[NAME=]PATH", help="file or folder; repeatable")
    add("--set", action="append", default=[], type=_setting, metavar="NAME=VALUE", help="a parameter, JSON or text")
    add("--seed", type=int, default=0)
    add("--out", type=Path, metavar="DIR", help="where the product is copied to")
    add("--checkpoints", type=Path, metavar="DIR", help="goes on from the last one there")
    add("--every", type=int, default=0, metavar="STEPS", help="between checkpoints, at least; 30 seconds if not given")
    return parser


def _data(text: str) -> tuple[str, Path]:
    name, equals, path = text.partition("=")
    if equals and name.isidentifier() and not Path(text).exists():
        return name, Path(path)
    return DATA, Path(text)


def _setting(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value
