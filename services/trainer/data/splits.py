"""Which rows train, which choose, which judge: by the content of each row, so equal rows are never on two sides.

A row goes where its hash falls, whatever else is in the data: more files, other files, another order or format do not
move it, and a duplicate follows it. The test rows lie lowest, then validation, then training: another share of
validation leaves the test rows alone, and a larger test share takes rows but gives none back.

Rows that differ only in what is known later (a corrected label) or that belong together (one user, one patient) are
kept together by `key`: then only these columns decide. A new column in the data makes every row another one, unless a
key was named. Pictures are decided by the picture alone, not by its class.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import Self

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, Field, model_validator

from services.kit.errors import InvalidArgument, Violation
from services.trainer.data.columns import Batch
from services.trainer.data.formats.images import IMAGE
from services.trainer.data.hashing import mix, row_hashes, text_hash
from services.trainer.data.manifest import Manifest
from services.trainer.data.reading import chosen, read, rebatched
from services.trainer.data.sources import Source

_BITS = 53  # every fraction is exact
_DROPPED = np.uint64(64 - _BITS)


class Part(StrEnum):
    """What can be asked for."""

    TEST = "test"
    VALIDATION = "validation"
    TRAIN = "train"
    ALL = "all"


# What the rows are parted into, in the order in which the parts lie from the lowest hash on.
PARTS = (Part.TEST, Part.VALIDATION, Part.TRAIN)


class Splits(BaseModel, frozen=True, extra="forbid"):
    """How rows are parted; recorded with a version. `salt` gives another, independent split of the same data."""

    train: float = Field(default=0.8, ge=0, le=1)
    validation: float = Field(default=0.1, ge=0, le=1)
    test: float = Field(default=0.1, ge=0, le=1)
    salt: str = ""
    key: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if abs(self.train + self.validation + self.test - 1) > 1e-9:
            raise ValueError(f"train, validation and test make {self.train + self.validation + self.test}, not 1")
        return self

    def assign(self, batch: Batch) -> npt.NDArray[np.int8]:
        """For each row its place in `PARTS`. Without a key all columns of the batch decide: give it all of them."""
        if absent := sorted(set(self.key) - batch.keys()):
            raise _no_key(absent[0], sorted(batch))
        hashes = mix(row_hashes(batch, self.key or None) + text_hash(self.salt))
        return np.searchsorted(self._bounds(), hashes >> _DROPPED, side="right").astype(np.int8)

    def deciding(self, manifest: Manifest) -> tuple[str, ...]:
        """The columns that decide: the key, the picture, or all."""
        names = [column.name for column in manifest.columns]
        if absent := sorted(set(self.key) - set(names)):
            raise _no_key(absent[0], names)
        return self.key or ((IMAGE,) if manifest.format == "images" else tuple(names))

    def span(self, name: Part) -> tuple[float, float]:
        """Where the part begins and ends on the line from 0 to 1 on which hashes fall."""
        first, second = self._ends()
        spans = {Part.TEST: (0.0, first), Part.VALIDATION: (first, second), Part.TRAIN: (second, 1.0)}
        return spans.get(name, (0.0, 1.0))

    def _ends(self) -> tuple[float, float]:
        return self.test, min(1.0, self.test + self.validation) if self.train else 1.0

    def _bounds(self) -> npt.NDArray[np.uint64]:
        return np.array([round(end * 2**_BITS) for end in self._ends()], np.uint64)


def part(
    manifest: Manifest,
    splits: Splits,
    name: Part,
    columns: Sequence[str] | None = None,
    *,
    rows: int = 1024,
    source: Source | None = None,
) -> Iterator[Batch]:
    """The rows of one part or of all, as `read` gives them; what decides is read too, and left out unless asked for."""
    if Part(name) is Part.ALL:
        return read(manifest, columns, rows, source)
    wanted = [column.name for column in chosen(manifest, columns)]
    deciding = splits.deciding(manifest)
    batches = read(manifest, sorted({*wanted, *deciding}), rows, source)
    return rebatched(_kept(batches, splits.model_copy(update={"key": deciding}), Part(name), wanted), rows)


def _kept(batches: Iterator[Batch], splits: Splits, name: Part, wanted: Sequence[str]) -> Iterator[Batch]:
    for batch in batches:
        kept = splits.assign(batch) == PARTS.index(name)
        yield {column: batch[column][kept] for column in wanted}


def _no_key(name: str, known: Sequence[str]) -> InvalidArgument:
    return InvalidArgument([Violation("splits.key", f"{name} is none of the columns {', '.join(known)}")])
