"""Checks of this machine, each with what was found and, when it is wrong, what to do."""

from __future__ import annotations

import ctypes
import platform
import resource
import shutil
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from infra.local import ports
from infra.local.lifecycle import DEFAULT_NODES, load
from infra.local.place import CHECKOUT, Place
from infra.local.supervision import Supervisor
from infra.runtime import RuntimeSetupError, binary, libpython_dir, triton_home, triton_python

GIB = 2**30
DISK_MIN, DISK_GOOD = 2 * GIB, 10 * GIB
MEMORY_MIN, MEMORY_GOOD = 1 * GIB, 3 * GIB
FILES_MIN, FILES_GOOD = 1024, 8192
CLOCK_UNSYNCHRONISED = 5  # TIME_ERROR of adjtimex(2)


class Verdict(StrEnum):
    """A warning does not keep the suite from running, a failure does."""

    OK = "ok"
    WARNING = "warning"
    FAILURE = "failure"


@dataclass(frozen=True)
class Finding:
    """One check's outcome."""

    check: str
    verdict: Verdict
    found: str
    remedy: str = ""


def graded(check: str, value: float, bounds: tuple[float, float], found: str, remedy: str) -> Finding:
    """Fails below the first bound, warns below the second."""
    least, good = bounds
    verdict = Verdict.FAILURE if value < least else Verdict.WARNING if value < good else Verdict.OK
    return Finding(check, verdict, found, "" if verdict is Verdict.OK else remedy)


def examine(place: Place) -> list[Finding]:
    """All checks; none of them changes anything."""
    checks: Iterable[Callable[[], list[Finding]]] = (
        _architecture,
        _python,
        _binaries,
        lambda: _ports(place),
        lambda: _disk(place),
        _memory,
        _clock,
        _open_files,
    )
    return [finding for check in checks for finding in check()]


def _architecture() -> list[Finding]:
    found = f"{platform.system()} {platform.machine()}"
    fits = found == "Linux x86_64"
    remedy = "" if fits else "the pinned Triton, Envoy and Consul are Linux x86_64 builds; use such a machine"
    return [Finding("architecture", Verdict.OK if fits else Verdict.FAILURE, found, remedy)]


def _python() -> list[Finding]:
    fits = sys.version_info[:2] == (3, 11)
    remedy = "" if fits else "Triton's Python backend is built for 3.11: install it and run make PYTHON=python3.11"
    return [Finding("python", Verdict.OK if fits else Verdict.FAILURE, platform.python_version(), remedy)]


def _binaries() -> list[Finding]:
    wanted: dict[str, Callable[[], Path]] = {
        "consul": lambda: binary("consul"),
        "envoy": lambda: binary("envoy"),
        "tritonserver": lambda: binary("tritonserver"),
        "triton backends": triton_home,
        "triton's python": triton_python,
        "libpython": libpython_dir,
    }
    return [_binary(name, where) for name, where in wanted.items()]


def _binary(name: str, where: Callable[[], Path]) -> Finding:
    try:
        return Finding(name, Verdict.OK, str(where()))
    except RuntimeSetupError:
        return Finding(name, Verdict.WARNING, "not fetched yet", "`bmase up` fetches it")


def _ports(place: Place) -> list[Finding]:
    if Supervisor(place).alive():
        return [Finding("ports", Verdict.OK, "held by the running suite")]
    suite = load(place)
    wanted = dict(suite.ports) if suite else ports.defaults(DEFAULT_NODES)
    taken = sorted(f"{name} {port}" for name, port in wanted.items() if not ports.is_free(port))
    if not taken:
        return [Finding("ports", Verdict.OK, f"{len(wanted)} free")]
    return [Finding("ports", Verdict.WARNING, "taken: " + ", ".join(taken), "`bmase up` chooses others and says which")]


def _disk(place: Place) -> list[Finding]:
    return [_free_space(name, path) for name, path in (("disk of data", place.root), ("disk of checkout", CHECKOUT))]


def _free_space(name: str, path: Path) -> Finding:
    there = next(p for p in (path, *path.parents) if p.exists())
    free = shutil.disk_usage(there).free
    remedy = f"make room on the disk of {there}, or use --data-dir on another"
    return graded(name, free, (DISK_MIN, DISK_GOOD), f"{free / GIB:.1f} GiB free", remedy)


def _memory() -> list[Finding]:
    lines = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
    free = int(lines["MemAvailable"].split()[0]) * 1024
    remedy = "the suite itself takes about 1 GiB, models come on top: stop something else, or use fewer nodes"
    return [graded("memory", free, (MEMORY_MIN, MEMORY_GOOD), f"{free / GIB:.1f} GiB available", remedy)]


def _clock() -> list[Finding]:
    newest = (CHECKOUT / "pyproject.toml").stat().st_mtime
    if time.time() < newest - 60:
        remedy = "set the clock (timedatectl set-ntp true): times in logs, versions and certificates depend on it"
        return [Finding("clock", Verdict.FAILURE, "it is behind the files of this checkout", remedy)]
    state = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(1024))  # all zero: only asks
    if state == CLOCK_UNSYNCHRONISED:
        remedy = "fine on one machine; on several, let NTP keep the clocks together"
        return [Finding("clock", Verdict.OK, f"plausible, not known to be synchronised ({remedy})")]
    return [Finding("clock", Verdict.OK, "plausible" if state < 0 else "synchronised")]


def _open_files() -> list[Finding]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = hard if hard != resource.RLIM_INFINITY else FILES_GOOD
    remedy = f"raise it before `bmase up`: ulimit -n {FILES_GOOD}"
    return [graded("open files", limit, (FILES_MIN, FILES_GOOD), f"soft {soft}, hard {hard}", remedy)]
