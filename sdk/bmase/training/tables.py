"""Files of this machine as columns in memory: .npz, .csv, .parquet, folders of them, folders of pictures by class.

What comes out is what the platform makes of the same files, as far as these formats leave no choice; it is stricter
about what is damaged, and reads what does not fit into memory.
"""

from __future__ import annotations

import csv
import gzip
import re
import zipfile
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

import numpy as np

Array = np.ndarray
PICTURES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp"})
IMAGE, LABEL = "image", "label"
_INTEGER = re.compile(r"-?(0|[1-9][0-9]{0,17})")


class DataFileError(ValueError):
    """Says which file, and what is wrong with it."""


@dataclass(frozen=True)
class Table:
    """Columns of one length; text as objects. `classes` are the folders' names of pictures."""

    columns: dict[str, Array]
    files: tuple[Path, ...]
    classes: tuple[str, ...] = ()

    @property
    def rows(self) -> int:
        return len(next(iter(self.columns.values()))) if self.columns else 0


def load(path: Path) -> Table:
    """A file, or all of a folder in the order of their names. DataFileError says what is wrong."""
    if not path.exists():
        raise DataFileError(f"{path} is not there")
    files = tuple(sorted(_files(path)))
    if not files:
        raise DataFileError(f"{path} holds no .npz, .csv, .parquet or pictures")
    kinds = {_reader(file) for file in files}
    if len(kinds) > 1:
        raise DataFileError(f"{path} holds files of several formats: give one folder for each")
    reader = kinds.pop()
    if reader is None:
        return _pictures(path, files)
    columns = _joined([(file, _whole(file, reader)) for file in files])
    if reader is _csv:  # what the values are is decided over all files
        columns = {name: _typed(values.tolist()) for name, values in columns.items()}
    return Table(columns, files)


def _files(path: Path) -> Iterable[Path]:
    """What begins with a dot or an underscore is not data, nor what lies below it: engines leave their marks so."""
    if not path.is_dir():
        return [path]
    inside = (one for one in path.rglob("*") if one.is_file())
    seen = (one for one in inside if not any(part[0] in "._" for part in one.relative_to(path).parts))
    return (one for one in seen if one.suffix.lower() in PICTURES or _format(one))


def _whole(path: Path, reader: Callable[[Path], dict[str, Array]]) -> dict[str, Array]:
    """What the reader's libraries raise about a damaged file, each in its own way, as an error that names it."""
    try:
        return reader(path)
    except DataFileError:
        raise
    except (OSError, ValueError, TypeError, EOFError, csv.Error, zipfile.BadZipFile, zlib.error) as error:
        raise DataFileError(f"{path} cannot be read: {error}") from error


def _format(path: Path) -> Callable[[Path], dict[str, Array]] | None:
    # Also `rows.parquet.brotli`, as some tools name it, and `rows.csv.gz`.
    return next((_FORMATS[suffix.lower()] for suffix in path.suffixes if suffix.lower() in _FORMATS), None)


def _reader(path: Path) -> Callable[[Path], dict[str, Array]] | None:
    if path.suffix.lower() in PICTURES:
        return None
    return _format(path) or _refuse(f"{path} is none of .npz, .csv, .parquet or a picture")


def _refuse(text: str) -> NoReturn:
    raise DataFileError(text)


def _joined(tables: Sequence[tuple[Path, dict[str, Array]]]) -> dict[str, Array]:
    first, names = tables[0][0], list(tables[0][1])
    for path, table in tables:
        if set(table) != set(names):
            raise DataFileError(f"{path} has other columns than {first}")
        if len({len(array) for array in table.values()}) > 1:
            raise DataFileError(f"{path}: the columns differ in their number of rows")
    return {name: np.concatenate([table[name] for _, table in tables]) for name in names}


def _npz(path: Path) -> dict[str, Array]:
    with np.load(path, allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in archive.files}
    if single := [name for name, array in arrays.items() if not array.ndim]:
        raise DataFileError(f"{path}: {single[0]} is a single value, not a column")
    return {name: array.astype(object) if array.dtype.kind in "US" else array for name, array in arrays.items()}


def _csv(path: Path) -> dict[str, Array]:
    """Every value as the text that it is."""
    opened = gzip.open if path.suffix.lower() == ".gz" else open
    with opened(path, "rt", encoding="utf-8-sig", newline="") as file:
        records = [record for record in csv.reader(file, strict=True) if record]
    if not records:
        raise DataFileError(f"{path} is empty: the first line names the columns")
    names, rows = records[0], records[1:]
    if _typed(names).dtype != object or len(set(names)) < len(names):
        raise DataFileError(f"{path}: the first line does not name the columns, each by a name of its own")
    if odd := next((place for place, row in enumerate(rows, 2) if len(row) != len(names)), None):
        raise DataFileError(f"{path}: record {odd} does not have the {len(names)} values that the first line names")
    return {name: np.array([row[place] for row in rows], object) for place, name in enumerate(names)}


def _typed(values: Sequence[str]) -> Array:
    """Whole numbers if all are, numbers if all are or are missing, else text: `007` stays what it is."""
    if values and all(_INTEGER.fullmatch(value) for value in values):
        return np.array([int(value) for value in values], np.int64)
    try:
        if not any(re.match(r"[+-]?0\d", value) for value in values):
            return np.array([float(value or "nan") for value in values], np.float64)
    except ValueError:
        pass
    return np.array(values, object)


def _parquet(path: Path) -> dict[str, Array]:
    parquet = _library("pyarrow.parquet", "pyarrow", path)
    table = parquet.ParquetFile(path).read()
    return {name: _arrow(table.column(name).combine_chunks(), f"{path}: {name}") for name in table.column_names}


def _arrow(values: Any, where: str) -> Array:
    import pyarrow as pa  # noqa: PLC0415

    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    kind = values.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return np.array(values.fill_null("").to_pylist(), object)
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return np.array(values.fill_null(b"").to_pylist(), object)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        lists = values.to_pylist()
        if None in lists or len({len(one) for one in lists}) > 1:
            raise DataFileError(f"{where} has lists of different lengths")
        return np.array(lists, kind.value_type.to_pandas_dtype())
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        return np.asarray(values.cast(pa.timestamp("us"), safe=False).to_numpy(zero_copy_only=False))
    if (pa.types.is_integer(kind) and values.null_count) or pa.types.is_decimal(kind) or pa.types.is_null(kind):
        values = values.cast(pa.float64())
    return np.array(values.to_numpy(zero_copy_only=False))


def _pictures(folder: Path, files: Sequence[Path]) -> Table:
    """One row a picture: `image` uint8 (height, width, channels), all as the first one is; `label` by its folder."""
    arrays: list[Array] = []
    for file in files:
        arrays.append(_picture(file, arrays[0].shape if arrays else None))
    columns = {IMAGE: np.stack(arrays)}
    names = [file.parent.name if file.parent != folder else "" for file in files]
    classes = tuple(sorted(set(names))) if folder.is_dir() and all(names) else ()
    if classes:
        columns[LABEL] = np.array([classes.index(name) for name in names], np.int64)
    return Table(columns, tuple(files), classes)


def _picture(path: Path, shape: tuple[int, ...] | None) -> Array:
    library = _library("PIL.Image", "pillow", path)
    from PIL import ImageOps  # noqa: PLC0415

    try:
        with library.open(path) as image:
            grey = shape[2] == 1 if shape else image.mode in ("1", "L")
            upright = ImageOps.exif_transpose(image).convert("L" if grey else "RGB")
    except (OSError, SyntaxError) as error:
        raise DataFileError(f"{path} is no picture that can be read: {error}") from error
    if shape and upright.size != (shape[1], shape[0]):
        upright = upright.resize((shape[1], shape[0]), library.Resampling.BILINEAR)
    return np.array(upright, np.uint8).reshape(upright.height, upright.width, -1)


def _library(module: str, package: str, path: Path) -> ModuleType:
    import importlib  # noqa: PLC0415

    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise DataFileError(f"{path} is read by {package}: pip install {package}") from error


_FORMATS: dict[str, Callable[[Path], dict[str, Array]]] = {
    ".npz": _npz,
    ".csv": _csv,
    ".parquet": _parquet,
    ".pq": _parquet,
}
