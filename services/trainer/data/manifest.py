"""A data set as it was at one moment: which files with which digests, and which columns they have.

The digest is over contents, not over places: the same files elsewhere, under other names, are the same data. Files are
read in the order of their digests for the same reason, so equal digests mean equal rows in equal order.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Literal

from bmase.reasons import Reason
from pydantic import BaseModel, Field, ValidationError, field_validator

from services.kit.errors import DomainError, InvalidArgument, Violation
from services.trainer.data.columns import Column

FORMAT = 1
# "files": of no format that is known here, without rows; the recipe that asked for them knows.
FormatName = Literal["parquet", "csv", "npz", "images", "files"]


class File(BaseModel, frozen=True, extra="forbid"):
    """One file: `sha256` in hexadecimal; `label` is the class of an image, which is the name of its folder, or
    the place of one of "files" below their root.
    """

    uri: str = Field(min_length=1, max_length=4096)
    bytes: int = Field(ge=0)
    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    rows: int = Field(ge=0)
    label: str = ""

    @property
    def content(self) -> tuple[str, str]:
        """What makes files the same data; also their order."""
        return self.sha256, self.label


class Manifest(BaseModel, frozen=True, extra="forbid"):
    """Immutable. Files are in the order of their contents."""

    format: FormatName
    columns: tuple[Column, ...] = Field(min_length=1)
    files: tuple[File, ...] = Field(min_length=1)

    @field_validator("files")
    @classmethod
    def _in_order(cls, files: tuple[File, ...]) -> tuple[File, ...]:
        return tuple(sorted(files, key=lambda file: (*file.content, file.uri)))

    @field_validator("columns")
    @classmethod
    def _named_once(cls, columns: tuple[Column, ...]) -> tuple[Column, ...]:
        if len({column.name for column in columns}) != len(columns):
            raise ValueError("two columns have the same name")
        return tuple(sorted(columns, key=lambda column: column.name))

    @cached_property
    def digest(self) -> str:
        """`sha256:...` over format, columns and the files' contents."""
        document = {
            "version": FORMAT,
            "format": self.format,
            "columns": [[column.name, column.dtype, *column.shape] for column in self.columns],
            "files": [[file.sha256, file.bytes, file.label] for file in self.files],
        }
        return f"sha256:{hashlib.sha256(_json(document)).hexdigest()}"

    @property
    def rows(self) -> int:
        return sum(file.rows for file in self.files)

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.bytes for file in self.files)

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """Names of the folders of images; the column `label` counts in this order."""
        return tuple(sorted({file.label for file in self.files} - {""}))

    def to_json(self) -> str:
        return _json({"version": FORMAT, "digest": self.digest, **self.model_dump(mode="json")}).decode()

    @staticmethod
    def from_json(text: str) -> Manifest:
        """INVALID_FIELD when it is no manifest, DIGEST_MISMATCH when it is not the one that was written."""
        try:
            document = json.loads(text)
            claimed, version = document.pop("digest"), document.pop("version")
            manifest = Manifest.model_validate(document)
        except (ValueError, KeyError, TypeError, AttributeError, ValidationError) as error:
            raise InvalidArgument([Violation("manifest", f"is no manifest of data: {error}")]) from error
        if version != FORMAT:
            raise InvalidArgument([Violation("manifest", f"has version {version}; this program reads {FORMAT}")])
        if claimed != manifest.digest:
            raise _tampered(claimed, manifest.digest)
        return manifest


def differences(before: Manifest, now: Manifest) -> list[str]:
    """What is not the same any more, one sentence each, files by name with both digests; empty for equal data."""
    if before.digest == now.digest:
        return []
    return [*_of_columns(before.columns, now.columns), *_of_files(before.files, now.files)]


def _of_columns(before: Sequence[Column], now: Sequence[Column]) -> Iterator[str]:
    old, new = ({column.name: str(column) for column in columns} for columns in (before, now))
    for name in sorted(old.keys() | new.keys()):
        if name not in new:
            yield f"column {name} ({old[name]}) is gone"
        elif name not in old:
            yield f"column {name} ({new[name]}) was added"
        elif old[name] != new[name]:
            yield f"column {name} was {old[name]} and is {new[name]}"


def _of_files(before: Sequence[File], now: Sequence[File]) -> Iterator[str]:
    """By address; a file that only moved is no difference."""
    old, new = ({file.uri: file for file in files} for files in (before, now))
    kept = {file.content for file in before} & {file.content for file in now}
    for uri in sorted(old.keys() | new.keys()):
        was, is_now = old.get(uri), new.get(uri)
        if was and is_now and was.content != is_now.content:
            yield f"{uri} had sha256:{was.sha256} and has sha256:{is_now.sha256}"
        elif was and not is_now and was.content not in kept:
            yield f"{uri} (sha256:{was.sha256}) is gone"
        elif is_now and not was and is_now.content not in kept:
            yield f"{uri} (sha256:{is_now.sha256}) was added"


def _json(document: object) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def _tampered(claimed: str, found: str) -> DomainError:
    return DomainError(
        Reason.DIGEST_MISMATCH,
        f"the manifest says that its digest is {claimed}, but its files and columns make {found}",
        hint="Take the manifest from where it was kept, or make a new one.",
    )
