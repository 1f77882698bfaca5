"""The foreign files, laid down where the sandbox can show them: copies, readable for nobody, with their digest."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bmase.reasons import Reason

from services.kit.errors import DomainError


@dataclass(frozen=True)
class Staged:
    """`digest` is of the names and contents of all files, hexadecimal SHA-256."""

    folder: Path
    digest: str


def staged(files: Sequence[Path], folder: Path) -> Staged:
    """Copies, at the places that the files have below their common folder."""
    whole = hashlib.sha256()
    for place, path in sorted(places(files).items()):
        target = folder / place
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
        target.chmod(0o644)
        with target.open("rb") as file:
            whole.update(f"{hashlib.file_digest(file, 'sha256').hexdigest()}  {place.as_posix()}\n".encode())
    for each in (folder, *(path for path in folder.rglob("*") if path.is_dir())):
        each.chmod(0o755)
    return Staged(folder, whole.hexdigest())


def places(files: Sequence[Path]) -> dict[Path, Path]:
    """Where each file is to lie -> where it lies. DomainError INVALID_DATA when two would lie at one place.

    A job brings each file into a folder of its own, called by its number: then names are all that is known of
    places, and
    what SavedModels keep in `variables` is put back there.
    """
    root = Path(os.path.commonpath([path.parent for path in files]))
    found = {path: path.relative_to(root) for path in files}
    if all(len(place.parts) == 2 and place.parts[0].isdigit() for place in found.values()):
        found = {path: _by_name(path.name) for path in files}
    laid = {place: path for path, place in found.items()}
    if len(laid) < len(files):
        twice = next(place for path, place in found.items() if laid[place] != path)
        raise DomainError(
            Reason.INVALID_DATA, f"two of the files are called {twice}", hint="Give the files of one model."
        )
    return laid


def _by_name(name: str) -> Path:
    return Path("variables", name) if name.startswith("variables.") else Path(name)
