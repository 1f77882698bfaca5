"""The digest of code: of a tree of files by their paths and contents alone.

The order in which a disk lists them, modes, owners and times do not matter, nor do empty folders and what Python
compiles by itself. A link within the tree is what it points to, written relative to the root; one that leads out of
the tree, or nowhere, is refused, because what it stands for would not be in the digest. So are pipes and devices.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, field_validator, model_validator

from services.kit.errors import InvalidArgument, Violation
from services.trainer.reproduce.documents import Digest, Document, digest_of

COMPILED_FOLDERS, COMPILED_SUFFIXES = frozenset({"__pycache__"}), (".pyc", ".pyo")
ENTRY = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*", re.ASCII)
_BLOCK = 2**20


class CodeFile(Document):
    """`path` is relative with '/'. Either the digest of its content, or the path that a link points to."""

    path: Annotated[str, Field(min_length=1, max_length=4096)]
    digest: Digest | None = None
    link: str | None = None

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if (self.digest is None) == (self.link is None):
            raise ValueError("must have either digest or link")
        return self

    def __str__(self) -> str:
        return self.digest or f"a link to {self.link}"


class Code(Document):
    """What trained: the files, and the function that was called in them."""

    files: tuple[CodeFile, ...] = Field(min_length=1)
    entry: str = Field(max_length=255)

    @field_validator("entry")
    @classmethod
    def _named(cls, entry: str) -> str:
        if ENTRY.fullmatch(entry) is None:
            raise ValueError("must be 'module:function', as in digits.train:main")
        return entry

    @field_validator("files")
    @classmethod
    def _in_order(cls, files: tuple[CodeFile, ...]) -> tuple[CodeFile, ...]:
        if len({file.path for file in files}) != len(files):
            raise ValueError("two files have the same path")
        return tuple(sorted(files, key=lambda file: file.path))

    @property
    def digest(self) -> str:
        """Of the files alone: the same tree called at another function is the same bundle."""
        return digest_of([[file.path, file.digest or "", file.link or ""] for file in self.files])


def read_code(root: Path, entry: str) -> Code:
    """Reads every file under `root`. InvalidArgument names what cannot be part of a bundle, or that there is none."""
    files = tuple(_files(root, root.resolve()))
    if not files:
        raise _refused(str(root), "has no files")
    if ENTRY.fullmatch(entry) is None:
        raise _refused(entry, "is no entry: it must be 'module:function', as in digits.train:main")
    return Code(files=files, entry=entry)


def _files(root: Path, resolved: Path) -> Iterator[CodeFile]:
    for folder, folders, names in os.walk(root, followlinks=False, onerror=_unreadable):
        folders[:] = [name for name in folders if name not in COMPILED_FOLDERS]
        links = [name for name in folders if Path(folder, name).is_symlink()]
        for name in (*links, *(name for name in names if not name.endswith(COMPILED_SUFFIXES))):
            yield _file(Path(folder, name), root, resolved)


def _file(path: Path, root: Path, resolved: Path) -> CodeFile:
    relative = path.relative_to(root).as_posix()
    if not _is_text(relative):
        raise _refused(repr(relative), "has a name that is not UTF-8")
    if path.is_symlink():
        return CodeFile(path=relative, link=_target(path, relative, resolved))
    if not path.is_file():
        raise _refused(relative, "is neither a file nor a folder")
    return CodeFile(path=relative, digest=file_digest(path))


def _target(path: Path, relative: str, resolved: Path) -> str:
    try:
        target = path.resolve(strict=True)
    except (OSError, RuntimeError) as error:
        raise _refused(relative, f"is a link to {path.readlink()}, which leads nowhere") from error
    if not target.is_relative_to(resolved):
        raise _refused(relative, f"is a link to {path.readlink()}, out of the bundle; put the file itself there")
    return target.relative_to(resolved).as_posix()


def file_digest(path: Path) -> str:
    """`sha256:...` of a file's content."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return f"sha256:{digest.hexdigest()}"


def _is_text(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


def _unreadable(error: OSError) -> None:
    raise _refused(str(error.filename), f"cannot be read: {error.strerror}")


def _refused(path: str, why: str) -> InvalidArgument:
    return InvalidArgument([Violation("code", f"{path} {why}")])
