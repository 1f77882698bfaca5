"""What training code is given: parameters, rows, a place for checkpoints, ears for its progress."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bmase.training.product import Product

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray
# name -> array; all arrays of a batch have the same first dimension, one entry a row.
Batch = Mapping[str, "Array"]

TRAIN, VALIDATION, TEST, ALL = "train", "validation", "test", "all"
DATA = "data"  # the name of a source that was given without one


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a source. `shape` is of one row: () for a number or text."""

    name: str
    dtype: str  # numpy's name; "object" for text
    shape: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Source:
    """What is known of a source before it is read. `classes` are set for folders of pictures."""

    columns: tuple[Column, ...]
    rows: int
    classes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Saved:
    """A checkpoint: `state` is as it was given, tensors on the CPU."""

    step: int
    state: Mapping[str, Any] = field(default_factory=dict)


class Run(ABC):
    """One training, seen by one worker. `rank` 0 of `world_size` workers speaks for all."""

    parameters: Mapping[str, Any]
    seed: int
    rank: int = 0
    world_size: int = 1
    threads: int = 1  # CPUs of this worker
    final: bool = True  # False: a trial of a search, whose metrics alone are kept; its product need not be made
    folder: Path  # of this worker alone, empty at first, gone afterwards

    @property
    def first(self) -> bool:
        """Whether this worker speaks for all."""
        return self.rank == 0

    # --- data

    @abstractmethod
    def source(self, name: str = DATA) -> Source:
        """What is known of a source; KeyError for one that the job does not have."""

    @abstractmethod
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
        """The rows of "train", "validation", "test" or "all", in batches of `batch` rows, the last one shorter.

        With `shard` each worker gets its own rows, all workers batches of the same sizes: where rows do not come out
        even, up to `world_size - 1` of the first ones come a second time, as the last of a worker. `shuffle`: through a
        buffer of so many rows, in an order that seed and epoch decide; 0: as they lie there.
        """

    @abstractmethod
    def table(self, part: str = TRAIN, columns: Sequence[str] | None = None, *, source: str = DATA) -> Batch:
        """All rows of a part in memory, the same for every worker."""

    @abstractmethod
    def files(self, source: str = DATA) -> tuple[Path, ...]:
        """The source's files on this machine, for formats that only the code knows."""

    # --- state

    @abstractmethod
    def due(self, step: int) -> bool:
        """Whether it is time for a checkpoint; the same answer in every worker, for each step asked once."""

    @abstractmethod
    def checkpoint(self, step: int, state: Mapping[str, Any]) -> None:
        """Keeps the state, of rank 0, to go on from after a loss; returns before it is written.

        `state` may hold tensors, arrays, numbers, texts, bytes, and lists and dicts of them: nothing that needs code
        to be read again.
        """

    @abstractmethod
    def resume(self) -> Saved | None:
        """The last checkpoint that all workers can read, asked by all of them alike; None at the first start."""

    # --- telling

    @abstractmethod
    def report(self, step: int, *, total: int = 0, epoch: float = 0.0, message: str = "", **metrics: float) -> None:
        """Progress and series of metrics, of rank 0; costs microseconds. `total` 0: not known."""

    @abstractmethod
    def finish(self, product: Product) -> None:
        """What the training gave, of rank 0; the last thing that is done."""
