"""The small Python environment Triton's Python backend runs in.

It is apart from the project's own because that backend silently corrupts tensors under numpy 2. One environment per
content of `infra/triton/requirements.txt` and interpreter; the file pins every wheel by hash.
"""

from __future__ import annotations

import sys
import sysconfig
from collections.abc import Iterable
from pathlib import Path

from infra.runtime import venvs
from infra.runtime.layout import CHECKOUT

NAME = "triton-python"
LIBPYTHON = "libpython3.11.so.1.0"
REQUIREMENTS = CHECKOUT / "infra/triton/requirements.txt"
_PROBE = "import numpy, onnxruntime; assert numpy.__version__.startswith('1.')"


def key(requirements: bytes, python: Path, version: str = sys.version) -> str:
    """Names the environment."""
    return venvs.key(NAME, requirements, python, version)


def current_key() -> str:
    """The key for this checkout's requirements and this interpreter."""
    return key(REQUIREMENTS.read_bytes(), venvs.base_python())


def build(folder: Path) -> None:
    """Makes the environment in `folder`, whole and proved importable."""
    venvs.make(folder, NAME, REQUIREMENTS, _PROBE, "libgomp1 libstdc++6")


def find_libpython(folders: Iterable[str] | None = None) -> Path | None:
    """The running interpreter's shared library, which Triton's stub is linked against."""
    configured = (sysconfig.get_config_var("LIBDIR") or "", "/usr/lib/x86_64-linux-gnu")
    for folder in folders if folders is not None else configured:
        if folder and (found := Path(folder) / LIBPYTHON).exists():
            return found
    return None
