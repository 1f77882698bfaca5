"""Parquet through pyarrow, in pieces: a row group may be as large as the file, so none is taken as a whole.

Whole numbers with missing values become float64 with NaN; lists must have the same length in every row.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from services.trainer.data.columns import BYTES, NUMBERS, TEXT, TIME, Array, Batch, Column, cast
from services.trainer.data.errors import malformed
from services.trainer.data.formats.model import Found

if TYPE_CHECKING:
    import pyarrow as pa
    from pyarrow import parquet as pq

BUFFER_BYTES = 1024 * 1024  # of each column
_WHOLE = frozenset(name for name in NUMBERS if not name.startswith("float"))


def inspect(content: BinaryIO, uri: str) -> Found:
    """Reads the footer; of lists also the first row."""
    with _file(content, uri) as file:
        missing = _with_nulls(file)
        columns = tuple(_column(file, field, uri, missing) for field in file.schema_arrow)
        return Found(file.metadata.num_rows, columns)


def batches(content: BinaryIO, uri: str, columns: Sequence[Column], rows: int) -> Iterator[Batch]:
    """See `Format`."""
    with _file(content, uri) as file:
        for piece in file.iter_batches(batch_size=rows, columns=[column.name for column in columns]):
            yield {column.name: cast(_array(piece.column(column.name), column, uri), column) for column in columns}


@contextmanager
def _file(content: BinaryIO, uri: str) -> Iterator[pq.ParquetFile]:
    import pyarrow as pa  # noqa: PLC0415 - 100 MB that only Parquet needs
    from pyarrow import parquet as pq  # noqa: PLC0415

    try:
        yield pq.ParquetFile(pa.PythonFile(content, mode="r"), buffer_size=BUFFER_BYTES, pre_buffer=False)
    except (pa.ArrowException, OSError) as error:
        raise malformed(uri, f"is no whole Parquet file: {error}") from error


def _column(file: pq.ParquetFile, field: pa.Field, uri: str, missing: Set[str]) -> Column:
    from pyarrow import types  # noqa: PLC0415

    kind = field.type
    shape: tuple[int, ...] = ()
    if types.is_dictionary(kind):
        kind = kind.value_type
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        shape, kind = (_width(file, field.name),), kind.value_type
    dtype = _dtype(kind)
    if dtype is None or (shape and dtype not in NUMBERS):
        raise malformed(uri, f"column {field.name} is of type {field.type}, which is no column of numbers or text")
    if not shape and dtype in _WHOLE and field.name in missing:
        dtype = "float64"
    return Column(name=field.name, dtype=dtype, shape=shape)


def _dtype(kind: pa.DataType) -> str | None:
    from pyarrow import types  # noqa: PLC0415

    if types.is_boolean(kind) or types.is_integer(kind) or types.is_floating(kind):
        return np.dtype(kind.to_pandas_dtype()).name
    if types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind):
        return TEXT
    if types.is_binary(kind) or types.is_large_binary(kind) or types.is_fixed_size_binary(kind):
        return BYTES
    if types.is_timestamp(kind) or types.is_date(kind):
        return TIME
    return "float64" if types.is_decimal(kind) or types.is_null(kind) else None


def _width(file: pq.ParquetFile, name: str) -> int:
    """Length of the list in the first row."""
    first = next(file.iter_batches(batch_size=1, columns=[name]), None)
    return len(first.column(name)[0].as_py() or ()) if first is not None and len(first) else 0


def _with_nulls(file: pq.ParquetFile) -> Set[str]:
    """Paths of columns with missing values, by the statistics in the footer; where they say nothing, there may be."""
    found = set()
    for number in range(file.metadata.num_row_groups):
        group = file.metadata.row_group(number)
        for place in range(group.num_columns):
            chunk = group.column(place)
            told = chunk.statistics
            if told is None or not told.has_null_count or told.null_count > 0:
                found.add(chunk.path_in_schema)
    return found


def _array(values: pa.Array, column: Column, uri: str) -> Array:
    import pyarrow as pa  # noqa: PLC0415
    from pyarrow import compute, types  # noqa: PLC0415

    if types.is_dictionary(values.type):
        values = values.dictionary_decode()
    if column.shape:
        return _matrix(values, column, uri)
    if column.dtype == TEXT:
        return _objects(compute.fill_null(values.cast(pa.large_string()), ""))
    if column.dtype == BYTES:
        return _objects(compute.fill_null(values.cast(pa.large_binary()), b""))
    if column.dtype == TIME:
        zone = getattr(values.type, "tz", None)
        return _plain(values.cast(pa.timestamp("us", tz=zone), safe=False))
    if column.dtype == "float64":
        values = values.cast(pa.float64(), safe=False)
    return _plain(values)


def _matrix(values: pa.Array, column: Column, uri: str) -> Array:
    flat = values.flatten()
    lengths = np.diff(np.asarray(values.offsets)) if hasattr(values, "offsets") else np.array([values.type.list_size])
    if values.null_count or flat.null_count or (lengths != column.shape[0]).any():
        raise malformed(uri, f"column {column.name} has lists of other lengths than {column.shape[0]}, or missing ones")
    return _plain(flat).reshape(len(values), *column.shape)


def _plain(values: Any) -> Array:
    """A writable array: what shares pyarrow's memory is copied."""
    found: Array = values.to_numpy(zero_copy_only=False)
    return found if found.flags.writeable else found.copy()


def _objects(values: Any) -> Array:
    found: Array = values.to_numpy(zero_copy_only=False)
    return found
