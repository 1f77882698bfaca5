"""What a version left behind that a reproduction is held against: its files, series, and answers on held-out rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from services.trainer.reproduce.code import file_digest
from services.trainer.reproduce.record import Record
from services.trainer.reproduce.series import Series
from services.trainer.reproduce.tensors import Tensors
from services.trainer.reproduce.weights import beside, open_weights


@dataclass(frozen=True)
class Run:
    """One training. `files`: path -> digest, of the artefact alone (no card, no plots: they carry dates). `weights`:
    those of the files that hold tensors by name. `outputs`: name -> array with one row for each held-out row.
    """

    record: Record
    files: Mapping[str, str]
    weights: Mapping[str, Tensors] = field(default_factory=dict)
    series: Series = field(default_factory=dict)
    outputs: Tensors = field(default_factory=dict)

    @property
    def beside(self) -> frozenset[str]:
        """Files that hold data of tensors which are named in another file."""
        return frozenset(
            (PurePosixPath(path).parent / name).as_posix()
            for path, tensors in self.weights.items()
            for name in beside(tensors)
        )


def read_run(
    folder: Path, paths: Iterable[str], record: Record, series: Series | None = None, outputs: Tensors | None = None
) -> Run:
    """From files on disk; tensors are read only when they are compared. OSError for files that are not there,
    DomainError(INVALID_MODEL_FILE) for models that are broken.
    """
    known = sorted(set(paths))
    opened = {path: open_weights(folder / path) for path in known}
    return Run(
        record=record,
        files={path: file_digest(folder / path) for path in known},
        weights={path: tensors for path, tensors in opened.items() if tensors is not None},
        series=series or {},
        outputs=outputs or {},
    )
