"""The packages of an environment, each by what its wheel put there: the exact lock of what code ran on.

A wheel's RECORD lists its files with their digests. What an installer adds or writes anew (its own notes, compiled
files, scripts that carry the path of the environment) is left out, so the same wheel has the same content digest
wherever, and by whichever installer, it is installed. Files are read and compared with that list too: a package that
was edited in place is not the one that its version says.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import sys
import sysconfig
from collections.abc import Iterable, Sequence
from enum import StrEnum
from importlib import metadata
from pathlib import Path
from typing import Any

from pydantic import Field, field_validator

from services.trainer.reproduce.checks import Checks, stamp
from services.trainer.reproduce.documents import Digest, Document, Sealed, digest_of

_INSTALLERS = frozenset({"INSTALLER", "REQUESTED", "RECORD", "RECORD.jws", "RECORD.p7s", "direct_url.json"})
_BLOCK = 2**20
MAX_ALTERED = 8


class Origin(StrEnum):
    """Where a package came from, by PEP 610."""

    INDEX = "index"
    ARCHIVE = "archive"  # one file at an address
    FOLDER = "folder"  # of sources, perhaps editable
    REPOSITORY = "repository"  # of a version control system


class Package(Document):
    """One distribution. `content` is over what its wheel holds; None where no wheel was recorded.

    `archives`: digests of the files from which it may be installed. `altered`: files that are not what RECORD says,
    the first few of them.
    """

    name: str = Field(min_length=1, max_length=255, pattern="^[a-z0-9]([a-z0-9-]*[a-z0-9])?$")
    version: str = Field(max_length=255, pattern=r"^[A-Za-z0-9][A-Za-z0-9.!+_-]*$")
    content: Digest | None = None
    archives: tuple[Digest, ...] = ()
    origin: Origin = Origin.INDEX
    altered: tuple[str, ...] = ()

    @property
    def pin(self) -> str:
        return f"{self.name}=={self.version}"


class Lock(Sealed):
    """All packages of an environment, by name, and the Python that they are for (as in 3.11.7)."""

    what = "lock"

    python: str = Field(pattern=r"^\d+\.\d+\.\d+\S*$")
    implementation: str = "cpython"
    platform: str = Field(min_length=1, examples=["linux-x86_64"])
    packages: tuple[Package, ...] = ()

    @field_validator("packages")
    @classmethod
    def _in_order(cls, packages: tuple[Package, ...]) -> tuple[Package, ...]:
        if len({package.name for package in packages}) != len(packages):
            raise ValueError("two packages have the same name")
        return tuple(sorted(packages, key=lambda package: package.name))

    def content(self) -> object:
        """Without archives and origins: they say whence it was had and can be had again, not what it is."""
        return self.model_dump(mode="json", exclude={"packages": {"__all__": {"archives", "origin"}}})

    def package(self, name: str) -> Package | None:
        return next((package for package in self.packages if package.name == name), None)


def installed(
    paths: Sequence[str] | None = None, *, check: bool = True, checks: Checks | None = None
) -> tuple[Package, ...]:
    """The packages on `paths`, or of the running environment. Of two with one name, the first is what is imported.

    `check`: read all their files instead of believing the list; those that `checks` knows are not read again.
    """
    using = (checks or Checks()) if check else None
    found = metadata.distributions(path=list(_own_paths() if paths is None else paths))
    packages: dict[str, Package] = {}
    for distribution in found:
        name = distribution.metadata["Name"]
        if name and canonical(name) not in packages:
            packages[canonical(name)] = _package(distribution, canonical(name), using)
    return tuple(packages.values())


def _own_paths() -> list[str]:
    """Where imports are looked for, without what packages have put there of their own: Ray brings some along."""
    sites = {Path(sysconfig.get_path(name)).resolve() for name in ("purelib", "platlib")}
    inside = [path for path in sys.path for site in sites if site in Path(path).resolve().parents]
    return [path for path in sys.path if path not in inside]


def canonical(name: str) -> str:
    """As PEP 503 spells a name."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _package(distribution: metadata.Distribution, name: str, checks: Checks | None) -> Package:
    origin, archive = read_origin(distribution.read_text("direct_url.json"))
    files = () if origin is Origin.FOLDER else wheel_files(distribution.files or ())
    return Package(
        name=name,
        version=distribution.version,
        content=content_digest(files),
        archives=archive,
        origin=origin,
        altered=() if checks is None else _checked(distribution, name, files, checks),
    )


def read_origin(direct_url: str | None) -> tuple[Origin, tuple[str, ...]]:
    """Of a direct_url.json (PEP 610), and the archive's digest where it says one. None is a package of an index."""
    try:
        document: Any = json.loads(direct_url) if direct_url else None
    except ValueError:
        document = None
    if not isinstance(document, dict):
        return Origin.INDEX, ()
    if "archive_info" in document:
        hashes = (document["archive_info"] or {}).get("hashes") or {}
        return Origin.ARCHIVE, (f"sha256:{hashes['sha256']}",) if "sha256" in hashes else ()
    return (Origin.REPOSITORY if "vcs_info" in document else Origin.FOLDER), ()


def wheel_files(files: Iterable[metadata.PackagePath]) -> tuple[metadata.PackagePath, ...]:
    """Those that came out of the wheel, under the folder that is imported from."""
    return tuple(sorted((file for file in files if _from_wheel(file)), key=str))


def _from_wheel(file: metadata.PackagePath) -> bool:
    if file.hash is None or ".." in file.parts or file.is_absolute() or file.suffix == ".pyc":
        return False
    notes = file.parts[0].endswith(".dist-info") and len(file.parts) == 2
    return not (notes and (file.name in _INSTALLERS or file.name.startswith("uv_")))


def content_digest(files: Sequence[metadata.PackagePath]) -> str | None:
    """`sha256:...` over paths and digests; None of a package that lists none."""
    listed = [[file.as_posix(), file.hash.mode, file.hash.value] for file in files if file.hash]
    return digest_of(listed) if listed else None


def _checked(
    distribution: metadata.Distribution, name: str, files: Sequence[metadata.PackagePath], checks: Checks
) -> tuple[str, ...]:
    root = Path(str(distribution.locate_file("")))
    place = f"{root}#{name}"
    state = stamp({file.as_posix(): file.hash.value for file in files if file.hash}, root)
    if (known := checks.known(place, state)) is not None:
        return known
    altered = tuple(_altered(distribution, files)[:MAX_ALTERED])
    checks.learn(place, state, altered)
    return altered


def _altered(distribution: metadata.Distribution, files: Sequence[metadata.PackagePath]) -> list[str]:
    return [str(file) for file in files if not _as_listed(Path(str(distribution.locate_file(file))), file)]


def _as_listed(path: Path, file: metadata.PackagePath) -> bool:
    assert file.hash is not None
    digest = hashlib.new(file.hash.mode)
    try:
        with path.open("rb") as opened:
            while block := opened.read(_BLOCK):
                digest.update(block)
    except OSError:
        return False
    return base64.urlsafe_b64encode(digest.digest()).decode().rstrip("=") == file.hash.value
