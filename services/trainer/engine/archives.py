"""Files out of a tar, below one folder. By hand: `filter="data"` came with Python 3.11.4, and Debian 12 has 3.11.2."""

from __future__ import annotations

import shutil
import tarfile
from pathlib import Path


def extract(tar: tarfile.TarFile, folder: Path) -> None:
    """Plain files and folders; TarError for links, devices, and names that leave the folder."""
    root = folder.resolve()
    root.mkdir(parents=True, exist_ok=True)
    for member in tar:
        target = (root / member.name.lstrip("/")).resolve()
        if not target.is_relative_to(root) or not (member.isfile() or member.isdir()):
            raise tarfile.TarError(f"{member.name!r} is no plain file below the archive's own folder")
        if member.isdir():
            target.mkdir(parents=True, exist_ok=True)
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        content = tar.extractfile(member)
        assert content is not None
        with content, target.open("wb") as out:
            shutil.copyfileobj(content, out)
