"""What a format of files must be able to do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO, Protocol

from services.trainer.data.columns import Batch, Column


@dataclass(frozen=True, slots=True)
class Found:
    """What a file turned out to hold."""

    rows: int
    columns: tuple[Column, ...]


class Format(Protocol):
    """Reads one kind of file in constant memory. Raises INVALID_DATA with the URI, and the line where there is one."""

    def inspect(self, content: BinaryIO, uri: str) -> Found:
        """How many rows of which columns; reads as much as it takes to be sure."""

    def batches(self, content: BinaryIO, uri: str, columns: Sequence[Column], rows: int) -> Iterator[Batch]:
        """The columns in batches of at most `rows`, in the file's order, cast to what `columns` say."""
