"""What the data of a schedule looks like: a process of its own, as stores may hang and reading all of it takes long.

    echo '{"uris": ["s3://bucket/clicks"], "digest": true}' | python -m services.trainer.schedules.probe

It prints `listing` (of names, sizes and times), `digest` (of the content, empty when it was not asked for or when
something was written meanwhile), or `error`.
"""

from __future__ import annotations

import hashlib
import json
import posixpath
import sys
from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import urlsplit

from services.kit.errors import DomainError
from services.trainer.data import places
from services.trainer.data.sources import CHUNK_BYTES

# What tells one content from another without reading it, as the drivers name it; whatever a driver has is used.
_STAMPS = ("size", "mtime", "ETag", "LastModified", "modification_time")


def look(uris: Sequence[str], digest: bool) -> dict[str, str]:
    """Raises DATA_NOT_FOUND, INVALID_FIELD, STORE_UNAVAILABLE."""
    listing = listed(uris)
    if not digest:
        return {"listing": listing, "digest": ""}
    found = content(uris)
    return {"listing": listing, "digest": found if listed(uris) == listing else ""}


def listed(uris: Sequence[str]) -> str:
    """Of names, sizes and times."""
    return _hash(line for uri in uris for line in _lines(uri))


def content(uris: Sequence[str]) -> str:
    """Of names and all bytes."""
    return _hash(f"{uri}\n{_file(uri)}" for root in uris for uri in places.listing(root))


def _lines(root: str) -> Iterable[str]:
    """One for each file, in order; files that are no data (`places.listing`) are left out."""
    parts = urlsplit(root)
    try:
        system, path = places.SCHEMES[parts.scheme](parts)
        system.info(path)  # raises when it is not there
        found: dict[str, dict[str, Any]] = system.find(path, detail=True)
    except Exception as error:
        raise places.translated(root, error) from error
    for name, info in sorted(found.items()):
        below = posixpath.relpath(name, path.rstrip("/"))
        if below == "." or not any(part[0] in "._" for part in below.split("/")):
            yield f"{root}\n{below}\n{_stamp(info)}"


def _stamp(info: dict[str, Any]) -> str:
    return json.dumps({name: str(info[name]) for name in _STAMPS if name in info})


def _file(uri: str) -> str:
    digest = hashlib.sha256()
    with places.opened(uri) as file:
        try:
            while piece := file.read(CHUNK_BYTES):
                digest.update(piece)
        except Exception as error:
            raise places.translated(uri, error) from error
    return digest.hexdigest()


def _hash(lines: Iterable[str]) -> str:
    digest = hashlib.sha256()
    for line in lines:
        digest.update(f"{line}\n\n".encode())
    return f"sha256:{digest.hexdigest()}"


def main() -> None:
    """One look."""
    asked = json.load(sys.stdin)
    try:
        found = look(asked["uris"], asked["digest"])
    except DomainError as error:
        found = {"error": error.message}
    print(json.dumps(found))


if __name__ == "__main__":
    main()
