"""The foreign files, laid down where the sandbox can show them: copies, readable for nobody, with their digest."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Staged:
    """`digest` is of the names and contents of all files, hexadecimal SHA-256."""

    folder: Path
    digest: str


def staged(files: Sequence[Path], folder: Path) -> Staged:
    """Copies, at the places that the files have below their common folder."""
    root = Path(os.path.commonpath([path.parent for path in files]))
    whole = hashlib.sha256()
    for path in sorted(files):
        place = path.relative_to(root)
        target = folder / place
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
        target.chmod(0o644)
        with target.open("rb") as file:
            whole.update(f"{hashlib.file_digest(file, 'sha256').hexdigest()}  {place.as_posix()}\n".encode())
    for each in (folder, *(path for path in folder.rglob("*") if path.is_dir())):
        each.chmod(0o755)
    return Staged(folder, whole.hexdigest())
