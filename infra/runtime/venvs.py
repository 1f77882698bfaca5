"""Python environments apart from the project's own, made whole from files that pin every wheel by hash.

They may be moved: scripts, which carry the path they were made under, are removed, and a program that an environment is
made for gets a starter that finds its interpreter beside itself.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

from infra.runtime.errors import RuntimeSetupError
from infra.runtime.wheels import run_pip

STARTER = """#!/bin/sh
here=$(dirname "$(readlink -f "$0")")
exec "$here/python" -I -c 'import sys; from {module} import {function}; sys.exit({function}())' "$@"
"""


def base_python() -> Path:
    """The interpreter under the one that runs, so that a checkout's `.venv` may come and go."""
    return Path(getattr(sys, "_base_executable", sys.executable)).resolve()


def key(name: str, requirements: bytes, python: Path, version: str = sys.version) -> str:
    """Names the environment: other wheels, another interpreter or another place of it give another one."""
    digest = hashlib.sha256(b"\0".join((requirements, str(python).encode(), version.encode()))).hexdigest()[:12]
    return f"{name}-{digest}"


def make(folder: Path, name: str, requirements: Path, probe: str, debian_packages: str) -> None:
    """The environment in `folder`, proved by running `probe` in it; `debian_packages` are what the probe may lack."""
    python = folder / "bin/python"
    _run(name, [str(base_python()), "-m", "venv", "--without-pip", str(folder)], "python3.11-venv")
    run_pip(
        "--python",
        str(python),
        "install",
        "--no-deps",
        "--no-compile",  # the probe compiles the few modules that are used
        "--only-binary=:all:",
        "--require-hashes",
        "--requirement",
        str(requirements),
        what=f"the wheels of {requirements.parent.name}/{requirements.name}",
    )
    _remove_scripts(folder)
    _run(name, [str(python), "-c", probe], debian_packages)


def write_starter(path: Path, entry: str) -> None:
    """A program that calls `module:function` of the environment in whose `bin/` it lies."""
    module, _, function = entry.partition(":")
    path.write_text(STARTER.format(module=module, function=function), encoding="utf-8")
    path.chmod(0o755)


def _run(name: str, command: list[str], debian_packages: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        last = ((done.stderr or done.stdout).strip().splitlines() or ["no output"])[-1]
        raise RuntimeSetupError(
            f"{name}: `{' '.join(command[1:4])}` failed: {last}\nOn Debian try: apt-get install {debian_packages}"
        )


def _remove_scripts(folder: Path) -> None:
    for script in (folder / "bin").iterdir():
        if not script.name.startswith("python"):
            script.unlink()
