"""Checks of the machine before anything is fetched: each refusal says what is missing and what to do about it."""

from __future__ import annotations

import functools
import platform
import shutil
import subprocess
import sys
from pathlib import Path

from infra.runtime.errors import RuntimeSetupError

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")


def check_python(version: tuple[int, int] | None = None) -> None:
    """Triton's Python stub and the pinned wheels are built for 3.11."""
    found = version or sys.version_info[:2]
    if found != (3, 11):
        raise RuntimeSetupError(
            f"Python {found[0]}.{found[1]} runs this, Python 3.11 is needed (Triton's Python stub and the pinned wheels"
            " are built for it). Install python3.11 and python3.11-venv, then run make with PYTHON=python3.11."
        )


def check_architecture(item: str, machine: str | None = None, system: str | None = None) -> None:
    """The pinned binaries are Linux x86_64 builds."""
    found, kernel = machine or platform.machine(), system or platform.system()
    if kernel != "Linux" or found not in ("x86_64", "AMD64"):
        raise RuntimeSetupError(
            f"{item}: the pinned binary is for Linux on x86_64, this is {kernel} on {found}. Use an x86_64 Linux"
            f" machine, or point {override_variable(item)} at a program of your own."
        )


def override_variable(item: str) -> str:
    """The environment variable by which an operator names a program of their own for an item or executable.

    Triton's has a name of its own because more than the program changes with it: see `infra.triton.launch`.
    """
    if item in ("triton", "tritonserver"):
        return "BMASE_TRITONSERVER"
    return "BMASE_BINARY_" + item.upper().replace("-", "_")


def check_debian_tools(item: str) -> None:
    """apt-get, dpkg-deb and Debian's keyring are what a Debian item is fetched and verified with."""
    for tool, package in (("apt-get", "apt"), ("dpkg-deb", "dpkg")):
        if shutil.which(tool) is None:
            raise RuntimeSetupError(
                f"{item}: {tool} is not here (Debian package {package}), and this item comes from Debian. Run on"
                f" Debian 12, or point {override_variable(item)} at a program of your own."
            )
    if not KEYRING.exists():
        raise RuntimeSetupError(
            f"{item}: Debian's archive keyring {KEYRING} is not here, so its packages cannot be verified."
            " Run: apt-get install debian-archive-keyring"
        )


@functools.cache
def pip_command(python: str = sys.executable) -> list[str]:
    """A pip that works, as a command prefix: this interpreter's, its base interpreter's, or one on PATH."""
    base = getattr(sys, "_base_executable", python)
    candidates = [[python, "-m", "pip"], [base, "-m", "pip"]]
    candidates += [[found] for name in ("pip3", "pip") if (found := shutil.which(name))]
    for command in candidates:
        if _works([*command, "--version"]):
            return command
    raise RuntimeSetupError(
        "pip is not here, and the pinned wheels are fetched with it. Run: apt-get install python3-pip"
        f" (or: {python} -m ensurepip)"
    )


def _works(command: list[str]) -> bool:
    try:
        return subprocess.run(command, capture_output=True, check=False, timeout=60).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False
