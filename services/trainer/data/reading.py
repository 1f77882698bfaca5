"""Rows of a manifest in batches, file by file in the manifest's order, in memory that a batch bounds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from services.kit.errors import InvalidArgument, Violation
from services.trainer.data.columns import Batch, Column, length
from services.trainer.data.formats import FORMATS
from services.trainer.data.formats.images import LABEL
from services.trainer.data.manifest import File, Manifest
from services.trainer.data.sources import Places, Source

MAX_BATCH_BYTES = 1024 * 1024 * 1024


def read(
    manifest: Manifest, columns: Sequence[str] | None = None, rows: int = 1024, source: Source | None = None
) -> Iterator[Batch]:
    """Batches of exactly `rows` rows, the last one of what is left; all columns unless some are named.

    Files are read where the manifest says, or from `source`; their digests are checked before their first row is given.
    Raises DIGEST_MISMATCH, DATA_NOT_FOUND, INVALID_DATA; INVALID_FIELD at once, not at the first batch.
    """
    wanted = chosen(manifest, columns)
    _check_rows(wanted, rows)
    return rebatched(_pieces(manifest, wanted, rows, source or Places()), rows)


def chosen(manifest: Manifest, names: Sequence[str] | None) -> tuple[Column, ...]:
    """The columns of these names, all for None; INVALID_FIELD for names that are not there."""
    if names is None:
        return manifest.columns
    known = {column.name: column for column in manifest.columns}
    if unknown := sorted(set(names) - known.keys()):
        raise InvalidArgument([Violation("columns", f"{unknown[0]} is none of {', '.join(known)}")])
    if not names:
        raise InvalidArgument([Violation("columns", "names none")])
    return tuple(known[name] for name in dict.fromkeys(names))


def rebatched(batches: Iterable[Batch], rows: int) -> Iterator[Batch]:
    """The same rows in batches of exactly `rows`, the last one of what is left."""
    held: list[Batch] = []
    count = 0
    for batch in batches:
        held.append(batch)
        count += length(batch)
        if count >= rows:
            whole, full = joined(held), count - count % rows
            yield from (cut(whole, start, start + rows) for start in range(0, full, rows))
            held, count = ([cut(whole, full, count)], count - full) if count > full else ([], 0)
    if count:
        yield joined(held)


def _pieces(manifest: Manifest, columns: Sequence[Column], rows: int, source: Source) -> Iterator[Batch]:
    images = manifest.format == "images"
    inside = [column for column in columns if not (images and column.name == LABEL)]
    labelled = images and len(inside) < len(columns)
    numbers = {label: number for number, label in enumerate(manifest.classes)}
    for file in manifest.files:
        for batch in _of_file(manifest, file, inside, rows, source):
            label = {LABEL: np.array([numbers[file.label]], np.int64)} if labelled else {}
            yield {**batch, **label}


def _of_file(manifest: Manifest, file: File, columns: Sequence[Column], rows: int, source: Source) -> Iterator[Batch]:
    if not columns:  # only the classes of pictures are wanted: the manifest has them
        yield {}
        return
    with source.open(file) as content:
        yield from FORMATS[manifest.format].batches(content, file.uri, columns, rows)


def _check_rows(columns: Sequence[Column], rows: int) -> None:
    most = MAX_BATCH_BYTES // max(1, sum(column.row_bytes for column in columns))
    if not 1 <= rows <= max(most, 0):
        bound = f"must be 1 to {most}" if most else "cannot be any number: one row is too large"
        raise InvalidArgument([Violation("rows", f"{bound}; a batch may take {MAX_BATCH_BYTES} bytes")])


def joined(batches: Sequence[Batch]) -> Batch:
    """One batch of the rows of all, in their order."""
    if len(batches) == 1:
        return batches[0]
    return {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}


def cut(batch: Batch, start: int, end: int | None, step: int = 1) -> Batch:
    """Views of these rows."""
    return {name: array[start:end:step] for name, array in batch.items()}
