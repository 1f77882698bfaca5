"""Wheels of one module, made on the spot."""

from __future__ import annotations

import base64
import hashlib
import zipfile
from pathlib import Path


def wheel(folder: Path, name: str = "tiny", version: str = "1.0", source: str = "VALUE = 1\n") -> Path:
    """A pure wheel with a script, so that what installers write anew is there too."""
    notes = f"{name}-{version}.dist-info"
    files = {
        f"{name}/__init__.py": source,
        f"{notes}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{notes}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{notes}/entry_points.txt": f"[console_scripts]\n{name} = {name}:main\n",
    }
    listed = [f"{path},sha256={_hash(text)},{len(text.encode())}" for path, text in files.items()]
    files[f"{notes}/RECORD"] = "\n".join([*listed, f"{notes}/RECORD,,", ""])
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for inner, text in files.items():
            archive.writestr(zipfile.ZipInfo(inner, (2020, 1, 1, 0, 0, 0)), text)
    return path


def unpacked(site: Path, made: Path) -> Path:
    """As an installer lays it down."""
    with zipfile.ZipFile(made) as archive:
        archive.extractall(site)
    return site


def _hash(text: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode().rstrip("=")
