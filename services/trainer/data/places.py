"""Where data lies: from a URI to a file system, its files and their bytes, through fsspec.

    file:///folder/or/file                                a bare path means the same
    s3://bucket/prefix?endpoint=http://host:port&region=name
    hdfs://namenode:port/folder

Credentials come from the environment, never from the URI. Paths in URIs are percent-encoded.
"""

from __future__ import annotations

import errno
import posixpath
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlsplit, urlunsplit

from fsspec.spec import AbstractFileSystem

from services.kit.errors import DomainError, InvalidArgument, Violation
from services.trainer.data import errors, hdfs

MAX_FILES = 200_000
_S3_OPTIONS = frozenset({"endpoint", "region"})


def normal(uri: str) -> str:
    """The URI, or that of a bare path; INVALID_FIELD for one that cannot be used here."""
    if "://" not in uri:
        return Path(uri).expanduser().absolute().as_uri()
    parts = urlsplit(uri)
    if parts.scheme not in SCHEMES:
        raise _refused(uri, f"begins with none of {', '.join(f'{scheme}://' for scheme in sorted(SCHEMES))}")
    if "@" in parts.netloc:
        raise _refused(parts._replace(netloc="...").geturl(), "must not hold credentials: give them by the environment")
    return uri


def is_local(uri: str) -> bool:
    return urlsplit(uri).scheme == "file"


def local_path(uri: str) -> Path:
    """The path that a file:// URI means."""
    return Path(unquote(urlsplit(uri).path))


def listing(uri: str) -> list[str]:
    """The URI itself if it is a file, else those of all files below it, sorted.

    What begins with a dot or an underscore is not data: engines leave their marks under such names.
    """
    parts = urlsplit(uri)
    with _reached(uri):
        system, path = _system(parts)
        if system.info(path)["type"] == "file":
            return [uri]
        root = path.rstrip("/")
        found = [posixpath.relpath(str(name), root) for name in system.find(root)]
    relative = sorted(name for name in found if not any(part[0] in "._" for part in name.split("/")))
    if len(relative) > MAX_FILES:
        raise _refused(uri, f"holds {len(relative)} files; at most {MAX_FILES} make a data set: pack rows into files")
    base = parts.path.rstrip("/")
    return [urlunsplit(parts._replace(path=f"{base}/{quote(name)}")) for name in relative]


@contextmanager
def opened(uri: str) -> Iterator[BinaryIO]:
    """The bytes where they are; seekable only if local. Errors while reading are the caller's to translate."""
    with _reached(uri):
        if is_local(uri):
            file: Any = local_path(uri).open("rb")
        else:
            system, path = _system(urlsplit(uri))
            file = system.open(path, "rb")
    with file:
        yield file


@contextmanager
def _reached(uri: str) -> Iterator[None]:
    """What drivers raise, each in its own way, as errors that name the URI."""
    try:
        yield
    except DomainError:
        raise
    except (FileNotFoundError, NotADirectoryError) as error:
        raise errors.missing(uri) from error
    except Exception as error:
        raise translated(uri, error) from error


def translated(uri: str, error: Exception) -> DomainError:
    """A driver's failure while reading as an error that names the URI."""
    if isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return errors.no_room(error.filename or "the folder for temporary files")
    words = hdfs.told(error) if urlsplit(uri).scheme == "hdfs" else str(error)
    return errors.unreachable(uri, f"{type(error).__name__}: {words}")


def _system(parts: SplitResult) -> tuple[AbstractFileSystem, str]:
    return SCHEMES[parts.scheme](parts)


def _file(parts: SplitResult) -> tuple[AbstractFileSystem, str]:
    from fsspec.implementations.local import LocalFileSystem  # noqa: PLC0415 - each driver only where it is needed

    if parts.netloc not in {"", "localhost"} or parts.query:
        raise _refused(urlunsplit(parts), "must be file:/// and an absolute path")
    return LocalFileSystem(), unquote(parts.path)


def _s3(parts: SplitResult) -> tuple[AbstractFileSystem, str]:
    options = dict(parse_qsl(parts.query))
    if not parts.netloc or options.keys() - _S3_OPTIONS:
        raise _refused(urlunsplit(parts), "must be s3://bucket/prefix with no options but endpoint and region")
    from s3fs import S3FileSystem  # noqa: PLC0415 - each driver only where it is needed

    client = {"region_name": options["region"]} if "region" in options else {}
    system = S3FileSystem(endpoint_url=options.get("endpoint"), client_kwargs=client, use_listings_cache=False)
    return system, f"{parts.netloc}/{unquote(parts.path).strip('/')}"


def _hdfs(parts: SplitResult) -> tuple[AbstractFileSystem, str]:
    if not parts.hostname or parts.query:
        raise _refused(urlunsplit(parts), "must be hdfs://namenode:port/path, or hdfs://nameservice/path")
    return hdfs.connected(parts.hostname, parts.port), unquote(parts.path) or "/"


SCHEMES: dict[str, Callable[[SplitResult], tuple[AbstractFileSystem, str]]] = {"file": _file, "s3": _s3, "hdfs": _hdfs}


def _refused(uri: str, why: str) -> InvalidArgument:
    return InvalidArgument([Violation("uri", f"{uri} {why}")])
