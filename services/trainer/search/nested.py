"""The runs that the code sees while it is searched for, and in the training at the end: the job's own run, in part."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bmase.training import Batch, Product, Run, Saved, Source
from bmase.training.run import DATA, TRAIN

from services.trainer.recipes.recipe import AloneRun, Material

if TYPE_CHECKING:
    from services.trainer.data import Manifest, Splits


class Pruned(BaseException):
    """Ends a trial that is not worth its end; no `Exception`, so that code which catches those lets it pass."""


class Files:
    """The source's files, brought once for all trials."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._known: dict[str, tuple[Path, ...]] = {}

    def of(self, source: str) -> tuple[Path, ...]:
        if source not in self._known:
            self._known[source] = self._run.files(source)
        return self._known[source]


class Nested(AloneRun):
    """The data of the outer run; everything else is said by subclasses."""

    def __init__(self, outer: Run, parameters: Mapping[str, Any], folder: Path, files: Files) -> None:
        self.parameters, self.seed, self.threads = parameters, outer.seed, outer.threads
        self.rank, self.world_size, self.folder = outer.rank, outer.world_size, folder
        self._outer, self._files = outer, files
        if isinstance(outer, AloneRun):
            self.memory_bytes, self.snapshots = outer.memory_bytes, outer.snapshots

    @property
    def materials(self) -> Sequence[Material]:
        return self._outer.materials if isinstance(self._outer, AloneRun) else ()

    def parted(self, source: str = DATA) -> tuple[Manifest, Splits] | None:
        return self._outer.parted(source) if isinstance(self._outer, AloneRun) else None

    def source(self, name: str = DATA) -> Source:
        return self._outer.source(name)

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
        return self._outer.rows(part, columns, source=source, batch=batch, shard=shard, shuffle=shuffle, epoch=epoch)

    def table(self, part: str = TRAIN, columns: Sequence[str] | None = None, *, source: str = DATA) -> Batch:
        return self._outer.table(part, columns, source=source)

    def files(self, source: str = DATA) -> tuple[Path, ...]:
        return self._files.of(source)

    @abstractmethod
    def report(self, step: int, *, total: int = 0, epoch: float = 0.0, message: str = "", **metrics: float) -> None:
        """See `Run`."""


class TrialRun(Nested):
    """One trial: nothing of it is kept but the metric, by which it may be ended.

    Where there are several workers, rank 0 alone knows the metric. The others learn that it gives up at the next `due`,
    which all of them call for the same steps: raised anywhere else, they would wait for each other for ever.
    """

    final = False

    def __init__(
        self,
        outer: Run,
        parameters: Mapping[str, Any],
        folder: Path,
        files: Files,
        *,
        title: str,
        metric: str,
        judge: Callable[[float], bool],
        agree: Callable[[bool], bool],
    ) -> None:
        """`judge` takes the metric and says whether to give up; `agree` makes rank 0's answer that of all."""
        super().__init__(outer, parameters, folder, files)
        self._title, self._metric, self._judge, self._agree = title, metric, judge, agree
        self._hopeless = False

    def due(self, step: int) -> bool:
        if self.world_size > 1 and self._agree(self._hopeless):
            raise Pruned
        return False

    def checkpoint(self, step: int, state: Mapping[str, Any]) -> None:
        """Nothing: what is lost is one trial."""

    def resume(self) -> Saved | None:
        return None

    def report(self, step: int, *, total: int = 0, epoch: float = 0.0, message: str = "", **metrics: float) -> None:
        if not self.first:
            return
        told = {f"{self._title}.{self._metric}": metrics[self._metric]} if self._metric in metrics else {}
        self._outer.report(step, total=total, epoch=epoch, message=f"{self._title} {message}".strip(), **told)
        if told and self._judge(float(metrics[self._metric])):
            self._hopeless = True
            if self.world_size == 1:
                raise Pruned

    def finish(self, product: Product) -> None:
        """Nothing: what a trial gives is its metric."""


class FinalRun(Nested):
    """The training with the best parameters; its checkpoints carry the search, and its product the search's table.

    `done`: trials before it, which its checkpoints' steps come after: steps of one job only ever grow.
    """

    def __init__(
        self,
        outer: Run,
        parameters: Mapping[str, Any],
        folder: Path,
        files: Files,
        *,
        done: int,
        search: Mapping[str, Any],
        saved: Saved | None,
        evidence: Mapping[str, Path],
        notes: Mapping[str, Any],
    ) -> None:
        super().__init__(outer, parameters, folder, files)
        self._done, self._search, self._saved = done, search, saved
        self._evidence, self._notes = evidence, notes

    def due(self, step: int) -> bool:
        return self._outer.due(step)

    def checkpoint(self, step: int, state: Mapping[str, Any]) -> None:
        self._outer.checkpoint(self._done + step, {"search": self._search, "step": step, "training": state})

    def resume(self) -> Saved | None:
        return self._saved

    def report(self, step: int, *, total: int = 0, epoch: float = 0.0, message: str = "", **metrics: float) -> None:
        self._outer.report(step, total=total, epoch=epoch, message=message, **metrics)

    def finish(self, product: Product) -> None:
        evidence, notes = {**product.evidence, **self._evidence}, {**product.notes, **self._notes}
        self._outer.finish(replace(product, evidence=evidence, notes=notes))
