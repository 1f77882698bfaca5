"""CSV as RFC 4180 has it: commas, UTF-8, a first line with names, plain or gzipped.

A column is int64 if every value is a whole number without leading zeros, float64 if every value is a number or missing
(empty or nan), else text; so `007` stays what it is. Decided over all values, never over the first thousand.
"""

from __future__ import annotations

import csv
import gzip
import io
import re
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import BinaryIO

import numpy as np

from services.trainer.data.columns import TEXT, Array, Batch, Column
from services.trainer.data.errors import malformed
from services.trainer.data.formats.model import Found

MAX_LINE = 4 * 1024 * 1024  # characters
MAX_FIELD = 1024 * 1024
BLOCK_ROWS = 4096
BLOCK_CHARACTERS = 64 * 1024 * 1024

_GZIP = b"\x1f\x8b"
_KINDS = ("int64", "float64", TEXT)  # from narrow to wide
# One match over a whole column; the separator ends each value. Eighteen digits are exact in an int64.
_WHOLE = re.compile(r"(?:-?(?:0|[1-9][0-9]{0,17})\n)*+")
_DIGITS = r"[+-]?(?:(?:0|[1-9][0-9]{0,17})(?:\.[0-9]*)?|\.[0-9]+)(?:e[+-]?[0-9]+)?"
_NUMBERS = re.compile(rf"(?:(?:{_DIGITS}|[+-]?inf(?:inity)?|nan|)\n)*+", re.IGNORECASE)


def inspect(content: BinaryIO, uri: str) -> Found:
    """Reads the whole file."""
    names, records = _open(content, uri)
    kinds, rows = [0] * len(names), 0
    for block in _blocks(records, BLOCK_ROWS):
        rows += len(block)
        kinds = [max(kind, _kind(values)) for kind, values in zip(kinds, zip(*block, strict=True), strict=True)]
    return Found(rows, tuple(Column(name=name, dtype=_KINDS[kind]) for name, kind in zip(names, kinds, strict=True)))


def batches(content: BinaryIO, uri: str, columns: Sequence[Column], rows: int) -> Iterator[Batch]:
    """See `Format`."""
    names, records = _open(content, uri)
    places = [(column, names.index(column.name)) for column in columns]
    for block in _blocks(records, rows):
        values = list(zip(*block, strict=True))
        yield {column.name: _array(values[place], column, uri) for column, place in places}


def _blocks(records: Iterator[list[str]], rows: int) -> Iterator[list[list[str]]]:
    """Records in lists of `rows`, or fewer where they are long."""
    block: list[list[str]] = []
    size = 0
    for record in records:
        block.append(record)
        size += sum(map(len, record))
        if len(block) == rows or size > BLOCK_CHARACTERS:
            yield block
            block, size = [], 0
    if block:
        yield block


def _kind(values: Sequence[str]) -> int:
    joined = "\n".join(values) + "\n"
    if joined.count("\n") != len(values):  # a line break inside a value
        return 2
    return 0 if _WHOLE.fullmatch(joined) else 1 if _NUMBERS.fullmatch(joined) else 2


def _array(values: Sequence[str], column: Column, uri: str) -> Array:
    try:
        if column.dtype == TEXT:
            found = np.empty(len(values), object)
            found[:] = values
            return found
        if column.dtype == "int64":
            return np.fromiter(map(int, values), np.int64, len(values))
        return np.fromiter((float(value or "nan") for value in values), np.float64, len(values))
    except ValueError as error:
        raise malformed(uri, f"column {column.name} is no {column.dtype}: {error}") from error


def _open(content: BinaryIO, uri: str) -> tuple[list[str], Iterator[list[str]]]:
    """The names and the records, each as long as the names."""
    zipped = content.read(2) == _GZIP
    content.seek(0)
    plain = gzip.GzipFile(fileobj=content) if zipped else content
    lines = _lines(io.TextIOWrapper(_Unowned(plain), encoding="utf-8-sig", newline=""), uri)
    records = _records(lines, uri)
    _, names = next(records, (0, None))
    if names is None:
        raise malformed(uri, "is empty", "The first line must hold the names of the columns.")
    _check_names(names, uri)
    return names, _checked(records, names, uri)


class _Unowned(io.BufferedReader):
    """Reads a file that belongs to somebody else: letting go of this does not close it."""

    def __init__(self, raw: BinaryIO | gzip.GzipFile) -> None:
        super().__init__(raw)  # type: ignore[arg-type]

    def close(self) -> None:
        pass


def _lines(text: io.TextIOWrapper, uri: str) -> Iterator[str]:
    """Physical lines. A file without line ends must not be taken into memory as a whole."""
    number = 0
    try:
        while line := text.readline(MAX_LINE):
            number += 1
            if len(line) == MAX_LINE and line[-1] not in "\r\n":
                raise malformed(uri, f"is longer than {MAX_LINE} characters", line=number)
            yield line
    except UnicodeDecodeError as error:
        raise malformed(uri, f"is not UTF-8 ({error.reason})", "Convert the file to UTF-8.", line=number + 1) from error
    except (gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise malformed(uri, f"the gzip stream is damaged: {error}", line=number + 1) from error


def _records(lines: Iterator[str], uri: str) -> Iterator[tuple[int, list[str]]]:
    """Records with something in them, each with the number of its last line; empty lines are none."""
    csv.field_size_limit(max(csv.field_size_limit(), MAX_FIELD))
    reader = csv.reader(lines, strict=True)
    try:
        for record in reader:
            if record:
                yield reader.line_num, record
    except csv.Error as error:
        hint = "Quote values that hold commas, quotes or line breaks, and double the quotes in them."
        raise malformed(uri, str(error), hint, line=reader.line_num) from error


def _checked(records: Iterator[tuple[int, list[str]]], names: Sequence[str], uri: str) -> Iterator[list[str]]:
    for line, record in records:
        if len(record) != len(names):
            why = f"has {len(record)} values where the first line names {len(names)} columns"
            raise malformed(uri, why, line=line)
        yield record


def _check_names(names: Sequence[str], uri: str) -> None:
    problem = _problem(names)
    if problem:
        raise malformed(uri, problem, "The first line must hold the names of the columns.", line=1)


def _problem(names: Sequence[str]) -> str:
    if len(names) == 1 and re.search(r"[;\t]", names[0]):
        return "the values are not separated by commas"
    if any(not name.strip() or len(name) > 256 for name in names):
        return "a column has no name, or one of more than 256 characters"
    if repeated := sorted(name for name, count in Counter(names).items() if count > 1):
        return f"two columns have the name {repeated[0]}"
    return "holds numbers only" if _kind(names) < 2 else ""
