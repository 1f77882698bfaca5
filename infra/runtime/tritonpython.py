"""The small Python environment Triton's Python backend runs in.

It is apart from the project's own because that backend silently corrupts tensors under numpy 2. One environment per
content of `infra/triton/requirements.txt` and interpreter; the file pins every wheel by hash.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import sysconfig
from collections.abc import Iterable
from pathlib import Path

from infra.runtime.errors import RuntimeSetupError
from infra.runtime.layout import CHECKOUT
from infra.runtime.wheels import run_pip

NAME = "triton-python"
LIBPYTHON = "libpython3.11.so.1.0"
REQUIREMENTS = CHECKOUT / "infra/triton/requirements.txt"
_PROBE = "import numpy, onnxruntime; assert numpy.__version__.startswith('1.')"


def base_python() -> Path:
    """The interpreter under the one that runs, so that a checkout's `.venv` may come and go."""
    return Path(getattr(sys, "_base_executable", sys.executable)).resolve()


def key(requirements: bytes, python: Path, version: str = sys.version) -> str:
    """Names the environment: other wheels, another interpreter or another place of it give another one."""
    digest = hashlib.sha256(b"\0".join((requirements, str(python).encode(), version.encode()))).hexdigest()[:12]
    return f"{NAME}-{digest}"


def current_key() -> str:
    """The key for this checkout's requirements and this interpreter."""
    return key(REQUIREMENTS.read_bytes(), base_python())


def build(folder: Path) -> None:
    """Makes the environment in `folder`, whole and proved importable."""
    python = folder / "bin/python"
    _run([str(base_python()), "-m", "venv", "--without-pip", str(folder)], "python3.11-venv")
    run_pip(
        "--python",
        str(python),
        "install",
        "--no-deps",
        "--no-compile",  # the probe compiles the few modules that are used
        "--only-binary=:all:",
        "--require-hashes",
        "--requirement",
        str(REQUIREMENTS),
        what="the wheels of infra/triton/requirements.txt",
    )
    _remove_scripts(folder)
    _run([str(python), "-c", _PROBE], "libgomp1 libstdc++6")


def _run(command: list[str], debian_packages: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        last = ((done.stderr or done.stdout).strip().splitlines() or ["no output"])[-1]
        raise RuntimeSetupError(
            f"{NAME}: `{' '.join(command[1:4])}` failed: {last}\nOn Debian try: apt-get install {debian_packages}"
        )


def _remove_scripts(folder: Path) -> None:
    """Scripts carry the path they were made under, which the final rename makes wrong; only the interpreter is used."""
    for script in (folder / "bin").iterdir():
        if not script.name.startswith("python"):
            script.unlink()


def find_libpython(folders: Iterable[str] | None = None) -> Path | None:
    """The running interpreter's shared library, which Triton's stub is linked against."""
    configured = (sysconfig.get_config_var("LIBDIR") or "", "/usr/lib/x86_64-linux-gnu")
    for folder in folders if folders is not None else configured:
        if folder and (found := Path(folder) / LIBPYTHON).exists():
            return found
    return None
