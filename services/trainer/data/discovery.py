"""From a URI to a manifest: which files are there, what do they hold, do they fit together."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import PurePosixPath
from typing import BinaryIO
from urllib.parse import unquote, urlsplit

from pydantic import ValidationError

from services.kit.errors import InvalidArgument, Violation
from services.trainer.data import places
from services.trainer.data.columns import Column, common
from services.trainer.data.errors import malformed, missing
from services.trainer.data.formats import FORMATS, Found, format_of
from services.trainer.data.formats.images import IMAGE, LABEL
from services.trainer.data.manifest import File, FormatName, Manifest
from services.trainer.data.sources import digest_of, fetch

AT_ONCE = 4
MAX_COLUMNS = 100_000
ImageShape = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class _Seen:
    """A file that was read once, from end to end."""

    uri: str
    size: int
    sha256: str
    found: Found


def discover(uri: str, image: ImageShape | None = None) -> Manifest:
    """The manifest of the file at `uri` or of all files below it; reads them all once.

    `image`: height, width and channels (1 or 3) that pictures are made to fit; without it they must be alike.
    Raises DATA_NOT_FOUND, INVALID_DATA, INVALID_FIELD, STORE_UNAVAILABLE.
    """
    root = places.normal(uri)
    uris = places.listing(root)
    if not uris:
        raise missing(f"data below {root}")
    name = _one_format(uris)
    if image is not None:
        _check_shape(image, name)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        seen = list(pool.map(partial(_look, name=name), uris))
    return _manifest(root, name, seen, image)


def discover_files(uri: str) -> Manifest:
    """The file at `uri`, or all below it, as they are: for recipes that read formats of their own, such as models.

    Raises DATA_NOT_FOUND, INVALID_FIELD, STORE_UNAVAILABLE.
    """
    root = places.normal(uri)
    found = []
    for each in places.listing(root):
        with _laid_down(each) as content:
            sha256, size = digest_of(each, content), content.seek(0, 2)
        below = unquote(urlsplit(each).path)[len(unquote(urlsplit(root).path).rstrip("/")) :].lstrip("/")
        label = below or PurePosixPath(unquote(urlsplit(each).path)).name
        found.append(File(uri=each, bytes=size, sha256=sha256, rows=0, label=label))
    if not found:
        raise missing(f"files below {root}")
    return Manifest(format="files", columns=(Column(name="content", dtype="bytes"),), files=tuple(found))


def _one_format(uris: Sequence[str]) -> FormatName:
    first = format_of(uris[0])
    for uri in uris:
        found = format_of(uri)
        if found is None:
            hint = "Data ends in .parquet, .csv, .csv.gz, .npz or a picture's suffix; put other files elsewhere."
            raise malformed(uri, "is no file of data by its name", hint)
        if found != first:
            raise malformed(uri, f"is {found}, but {uris[0]} is {first}", "One data set has files of one format.")
    assert first is not None
    return first


def _look(uri: str, name: FormatName) -> _Seen:
    with _laid_down(uri) as content:
        sha256 = digest_of(uri, content)
        size = content.seek(0, 2)
        content.seek(0)
        return _Seen(uri, size, sha256, _inspected(content, uri, name))


def _inspected(content: BinaryIO, uri: str, name: FormatName) -> Found:
    try:
        found = FORMATS[name].inspect(content, uri)
    except ValidationError as error:
        raise malformed(uri, "has a column without a name, or with one of more than 256 characters") from error
    if len({column.name for column in found.columns}) != len(found.columns):
        raise malformed(uri, "has two columns of the same name")
    if not 0 < len(found.columns) <= MAX_COLUMNS:
        raise malformed(uri, f"has {len(found.columns)} columns; 1 to {MAX_COLUMNS} are read")
    return found


@contextmanager
def _laid_down(uri: str) -> Iterator[BinaryIO]:
    if places.is_local(uri):
        with places.opened(uri) as content:
            yield content
    else:
        with tempfile.TemporaryFile() as content:
            fetch(uri, content)
            yield content


def _manifest(root: str, name: FormatName, seen: Sequence[_Seen], image: ImageShape | None) -> Manifest:
    labels = _labels(root, seen) if name == "images" else [""] * len(seen)
    columns = [Column(name=IMAGE, dtype="uint8", shape=image)] if image else _columns(name, seen)
    if any(labels):
        columns.append(Column(name=LABEL, dtype="int64"))
    files = [
        File(uri=one.uri, bytes=one.size, sha256=one.sha256, rows=one.found.rows, label=label)
        for one, label in zip(seen, labels, strict=True)
    ]
    return Manifest(format=name, columns=tuple(columns), files=tuple(files))


def _columns(name: FormatName, seen: Sequence[_Seen]) -> list[Column]:
    """The columns that hold the values of all files; INVALID_DATA that names two files which do not fit.

    Of a file without rows only the names count: engines write such parts, and their lists have no length.
    """
    first = next((one for one in seen if one.found.rows), seen[0])
    merged = {column.name: column for column in first.found.columns}
    for one in seen:
        theirs = {column.name: column for column in one.found.columns}
        if theirs.keys() != merged.keys():
            raise _other_columns(first.uri, set(merged), one.uri, set(theirs))
        if one is first or not one.found.rows:
            continue
        for key, column in theirs.items():
            wider = common(merged[key], column, text_takes_all=name == "csv")
            if wider is None:
                raise _other_type(first.uri, merged[key], one.uri, column)
            merged[key] = wider
    return list(merged.values())


def _other_columns(first: str, ours: set[str], uri: str, theirs: set[str]) -> Exception:
    parts = [
        f"{what} {', '.join(sorted(names)[:5])}"
        for what, names in (("it has not", ours - theirs), ("only it has", theirs - ours))
        if names
    ]
    return malformed(uri, f"has other columns than {first}: {'; '.join(parts)}", "All files need the same columns.")


def _other_type(first: str, ours: Column, uri: str, theirs: Column) -> Exception:
    hint = "Give all pictures one shape: image=(height, width, channels)." if ours.name == IMAGE else ""
    return malformed(uri, f"column {ours.name} is {theirs}, but {ours} in {first}", hint)


def _labels(root: str, seen: Sequence[_Seen]) -> list[str]:
    """The name of the folder of each picture; none where the pictures lie in the root."""
    start = PurePosixPath(urlsplit(root).path)
    parents = [PurePosixPath(urlsplit(one.uri).path).parent for one in seen]
    labels = ["" if not _below(parent, start) else unquote(parent.name) for parent in parents]
    if any(labels) and not all(labels):
        stray = seen[labels.index("")].uri
        raise malformed(stray, "lies in no folder of a class, while other pictures do", "Move it into its class.")
    return labels


def _below(folder: PurePosixPath, start: PurePosixPath) -> bool:
    return folder != start and folder.is_relative_to(start)


def _check_shape(image: ImageShape, name: FormatName) -> None:
    if name != "images":
        raise InvalidArgument([Violation("image", f"is a shape of pictures, but the data is {name}")])
    if image[2] not in {1, 3} or not all(1 <= side <= 8192 for side in image[:2]):
        raise InvalidArgument([Violation("image", "must be height and width up to 8192, and 1 or 3 channels")])
