"""NPZ: arrays by name, all with the same first dimension, streamed member by member and never unpacked as a whole.

Objects (pickles) are refused by their header, before any of their bytes is read. What the archive declares is held
against what its headers say, so a bomb cannot make more of itself than an honest file of its size: deflate unpacks to
at most 1032 times its input, in pieces of one batch.
"""

from __future__ import annotations

import math
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import IO, Any, BinaryIO

import numpy as np
from numpy.lib import format as npy
from pydantic import ValidationError

from services.trainer.data.columns import Array, Batch, Column, cast, column_of
from services.trainer.data.errors import malformed
from services.trainer.data.formats.model import Found

MAX_MEMBERS = 1024
# An array in Fortran order has its rows scattered over the whole file; up to this size it is turned in memory.
MAX_TURNED_BYTES = 256 * 1024 * 1024

_PLAIN = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED})
_HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
_DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, ValueError, RuntimeError, NotImplementedError, OSError)


@dataclass(frozen=True, slots=True)
class _Member:
    """An array as its header describes it."""

    info: zipfile.ZipInfo
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    fortran: bool
    column: Column

    @property
    def row_bytes(self) -> int:
        return math.prod(self.shape[1:]) * self.dtype.itemsize

    @property
    def total(self) -> int:
        return self.shape[0] * self.row_bytes


def inspect(content: BinaryIO, uri: str) -> Found:
    """Reads headers only."""
    with _archive(content, uri) as archive:
        members = _members(archive, uri)
        return Found(members[0].shape[0], tuple(member.column for member in members))


def batches(content: BinaryIO, uri: str, columns: Sequence[Column], rows: int) -> Iterator[Batch]:
    """See `Format`."""
    with _archive(content, uri) as archive, ExitStack() as stack:
        members = {member.column.name: member for member in _members(archive, uri)}
        streams = {column.name: stack.enter_context(archive.open(members[column.name].info)) for column in columns}
        total = next(iter(members.values())).shape[0]
        readers = {name: _rows(stream, members[name], rows, uri) for name, stream in streams.items()}
        for _ in range(0, total, rows):
            yield {column.name: cast(next(readers[column.name]), column) for column in columns}


@contextmanager
def _archive(content: BinaryIO, uri: str) -> Iterator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(content) as archive:
            yield archive
    except ValidationError:  # a ValueError, but of a name; whoever asked for the inspection says so
        raise
    except _DAMAGE as error:
        raise malformed(uri, f"is no whole NPZ file: {error}") from error


def _members(archive: zipfile.ZipFile, uri: str) -> list[_Member]:
    infos = archive.infolist()
    _check_archive(archive, infos, uri)
    members = [_member(archive, info, uri) for info in infos]
    counts = {member.column.name: member.shape[0] for member in members}
    if len(set(counts.values())) > 1:
        shown = ", ".join(f"{name} has {count}" for name, count in sorted(counts.items())[:5])
        raise malformed(uri, f"the arrays differ in their number of rows: {shown}")
    return members


def _check_archive(archive: zipfile.ZipFile, infos: Sequence[zipfile.ZipInfo], uri: str) -> None:
    if not 0 < len(infos) <= MAX_MEMBERS:
        raise malformed(uri, f"holds {len(infos)} arrays; at least 1 and at most {MAX_MEMBERS} are read")
    if len({info.filename for info in infos}) != len(infos):
        raise malformed(uri, "holds two arrays of the same name")
    if odd := next((info for info in infos if info.compress_type not in _PLAIN or info.flag_bits & 1), None):
        raise malformed(uri, f"{odd.filename} is packed otherwise than numpy does", "Write it by numpy.savez.")
    size = archive.fp.seek(0, 2) if archive.fp else 0
    if sum(info.compress_size for info in infos) > size:
        raise malformed(uri, "its members overlap: they take more room than the file has")


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, uri: str) -> _Member:
    name = info.filename.removesuffix(".npy")
    with archive.open(info) as stream:
        version = npy.read_magic(stream)
        if version not in _HEADERS:
            raise malformed(uri, f"array {name} has the header of a record, which is no column")
        shape, fortran, dtype = _HEADERS[version](stream)
        head = stream.tell()
    if dtype.hasobject:
        hint = "Save text as a fixed-width type: array.astype('U') or array.astype('S')."
        raise malformed(uri, f"array {name} holds pickled objects, which are never loaded", hint)
    column = column_of(name, dtype, shape[1:]) if dtype.itemsize else None
    if column is None:
        raise malformed(uri, f"array {name} is of type {dtype}, which is no column")
    if not shape:
        raise malformed(uri, f"array {name} is a single value and has no rows", "Leave it out of the file.")
    member = _Member(info, dtype, shape, fortran and len(shape) > 1, column)
    if head + member.total != info.file_size:
        raise malformed(uri, f"array {name} says it takes {head + member.total} bytes and has {info.file_size}")
    return member


def _rows(stream: IO[bytes], member: _Member, rows: int, uri: str) -> Iterator[Array]:
    _HEADERS[npy.read_magic(stream)](stream)
    if member.fortran:
        yield from _turned(stream, member, rows, uri)
        return
    for start in range(0, member.shape[0], rows):
        count = min(rows, member.shape[0] - start)
        raw = _exactly(stream, count * member.row_bytes, uri)
        yield _native(np.frombuffer(raw, member.dtype).reshape(count, *member.shape[1:]))


def _turned(stream: IO[bytes], member: _Member, rows: int, uri: str) -> Iterator[Array]:
    if member.total > MAX_TURNED_BYTES:
        why = f"array {member.column.name} is in Fortran order and too large to be turned in memory"
        raise malformed(uri, why, "Save numpy.ascontiguousarray(array).")
    whole = np.frombuffer(_exactly(stream, member.total, uri), member.dtype).reshape(member.shape, order="F")
    for start in range(0, member.shape[0], rows):
        yield _native(np.ascontiguousarray(whole[start : start + rows]))


def _exactly(stream: IO[bytes], size: int, uri: str) -> bytearray:
    raw = bytearray(stream.read(size))
    if len(raw) != size:
        raise malformed(uri, "ends within an array")
    return raw


def _native(array: Array) -> Array:
    return array.astype(array.dtype.newbyteorder("="), copy=False)
