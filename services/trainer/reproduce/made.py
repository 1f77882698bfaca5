"""What one training left on disk: the files that are served, and the evidence that a reproduction is held against.

FOLDER/model.onnx ...     files of the version, as its product had them
EVIDENCE/record.json      what made it
EVIDENCE/series.json      metric -> step -> value, as reported; a step that was trained again has its latest
EVIDENCE/held_out.npz     what the model is asked on rows that it was not trained on
EVIDENCE/code.tar         the user's own code, of versions that some made
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from bmase.registry.v1 import registry_pb2 as pb

from services.kit.errors import InvalidArgument, Violation
from services.trainer.recipes.recipe import Material
from services.trainer.reproduce.record import Record
from services.trainer.reproduce.series import Series

RECORD, SERIES, HELD_OUT, CODE = "record.json", "series.json", "held_out.npz", "code.tar"
EVIDENCE = "evidence"  # the folder in which the engine lays down that of a version
_CONFIG = "config.pbtxt"
Arrays = Mapping[str, np.ndarray[Any, Any]]


@dataclass(frozen=True)
class Made:
    """`paths` are relative to `folder`; `evidence` is a folder."""

    folder: Path
    paths: tuple[str, ...]
    evidence: Path

    def record(self) -> Record:
        """InvalidArgument when there is none; INVALID_FIELD, DIGEST_MISMATCH as `Record.from_json`."""
        try:
            return Record.from_json((self.evidence / RECORD).read_bytes())
        except FileNotFoundError:
            why = "has no record.json among its evidence: only what was trained here can be trained again"
            raise InvalidArgument([Violation("version", why)]) from None

    def series(self) -> Series | None:
        """None where none were kept."""
        path = self.evidence / SERIES
        return read_series(path.read_bytes()) if path.is_file() else None

    def held_out(self) -> Arrays:
        """Empty where there are none."""
        path = self.evidence / HELD_OUT
        if not path.is_file():
            return {}
        with np.load(path, allow_pickle=False) as kept:
            return dict(kept)


def made_at(out: Path) -> Made:
    """Of a folder with `files` and `evidence`, as `train` leaves it."""
    files = out / "files"
    found = sorted(path.relative_to(files).as_posix() for path in files.rglob("*") if path.is_file())
    return Made(files, tuple(found), out / "evidence")


def made_of(material: Material) -> Made:
    """Of a version of the registry; its evidence lies where its record does."""
    served = {pb.File.ROLE_UNSPECIFIED, pb.File.ROLE_MODEL, pb.File.ROLE_CONFIG}
    paths = tuple(sorted(file.path for file in material.version.files if file.role in served))
    evidence = material.folder / EVIDENCE
    record = next(evidence.rglob(RECORD), evidence / RECORD)
    return Made(material.folder, paths, record.parent)


def without_given(before: Sequence[str], now: Sequence[str]) -> tuple[str, ...]:
    """The version's files that its training gave: the registry writes a configuration for models that bring none."""
    return tuple(path for path in before if path in now or Path(path).name != _CONFIG)


def write_series(series: Mapping[str, Mapping[int, float]]) -> str:
    return json.dumps(series, sort_keys=True)  # NaN and infinities as Python writes and reads them


def read_series(text: bytes) -> Series:
    """InvalidArgument when it is none."""
    try:
        document = json.loads(text)
        return {
            str(name): {int(step): float(value) for step, value in points.items()} for name, points in document.items()
        }
    except (ValueError, TypeError, AttributeError) as error:
        raise InvalidArgument([Violation("series", f"is no document of series: {error}")]) from error
