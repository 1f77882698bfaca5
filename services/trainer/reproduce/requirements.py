"""From a lock to what an installer is told: what the lock cannot give, requirement files with hashes, command lines.

Pure. Nothing is built from sources, as that would run code which no digest of the lock stands for.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from services.kit.errors import InvalidArgument, Violation
from services.trainer.reproduce.packages import Lock, Origin, Package, canonical

HINT = "bring it as a wheel with a digest, or name it as provided by the platform"


class Tool(StrEnum):
    """What installs. uv also finds, or fetches, the recorded Python; pip takes the one it runs under."""

    UV = "uv"
    PIP = "pip"


@dataclass(frozen=True, slots=True)
class Where:
    """Where packages come from. `links`: folders with wheels. Without `index`, nothing else is asked: no network.
    Which index it is, and its credentials, are the installer's own settings.
    """

    links: tuple[Path, ...] = ()
    index: bool = True


def refuse(lock: Lock, here: Mapping[str, str], tool: Tool, provided: Collection[str] = ()) -> None:
    """InvalidArgument with every thing that the lock cannot give on this machine. `here`: as `machine.running()`."""
    wrong = [
        Violation(f"environment.{name}", f"the lock is for {getattr(lock, name)}, and this is {here[name]}")
        for name in ("platform", "implementation", *(["python"] if tool is Tool.PIP else []))
        if getattr(lock, name) != here[name]
    ]
    packages = [
        Violation(f"environment.packages.{package.name}", f"{package.pin} {why}; {HINT}")
        for package in wanted(lock, provided)
        if (why := _missing(package))
    ]
    if wrong or packages:
        raise InvalidArgument([*wrong, *packages])


def wanted(lock: Lock, provided: Collection[str] = ()) -> list[Package]:
    """The packages to install: all but those that whoever asks will put there."""
    names = {canonical(name) for name in provided}
    return [package for package in lock.packages if package.name not in names]


def _missing(package: Package) -> str:
    if package.altered:
        return f"was altered after it was installed, in {', '.join(package.altered)}"
    if package.origin in {Origin.FOLDER, Origin.REPOSITORY}:
        return f"came from a {package.origin}, which the lock does not hold"
    if package.content is None and not package.archives:
        return "has no digest at all, so nothing would tell whether another is the same"
    return ""


def requirements(lock: Lock, provided: Collection[str] = ()) -> tuple[str, str]:
    """Two files' texts: what can be installed with required hashes, and what has to be checked by its content
    afterwards, because the lock has no digest of its archive.
    """
    packages = wanted(lock, provided)
    hashed = [_line(package) for package in packages if package.archives]
    plain = [package.pin for package in packages if not package.archives]
    return _text(hashed), _text(plain)


def _line(package: Package) -> str:
    hashes = (f"    --hash={digest}" for digest in sorted(package.archives))
    return " \\\n".join([package.pin, *hashes])


def _text(lines: Sequence[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


def create_command(tool: Tool, program: Path, folder: Path, lock: Lock) -> list[str]:
    """Makes the folder an environment without packages. `program`: uv, or the Python whose pip is used."""
    if tool is Tool.UV:
        return [str(program), "venv", "--no-project", "--python", lock.python, str(folder)]
    return [str(program), "-I", "-m", "venv", "--without-pip", str(folder)]


def install_command(tool: Tool, program: Path, folder: Path, file: Path, where: Where, *, hashed: bool) -> list[str]:
    """Installs what a requirements file names, and nothing that it does not."""
    into = str(interpreter(folder))
    if tool is Tool.UV:
        begin = [str(program), "pip", "install", "--python", into, "--no-deps", "--no-build"]
    else:
        begin = [str(program), "-I", "-m", "pip", "--python", into, "--no-input", "--disable-pip-version-check"]
        begin += ["install", "--no-deps", "--only-binary", ":all:"]
    hashes = ["--require-hashes"] if hashed else []
    links = [part for folder in where.links for part in ("--find-links", str(folder))]
    return [*begin, *hashes, *([] if where.index else ["--no-index"]), *links, "--requirement", str(file)]


def hashes_command(program: Path, file: Path, lock: Lock) -> list[str]:
    """Asks the index, by uv, for the digests of all archives of what `file` pins; read by `read_hashes`."""
    return [
        *(str(program), "pip", "compile", "--generate-hashes", "--no-deps", "--no-header", "--no-annotate", "--quiet"),
        *("--no-build", "--python-version", lock.python, str(file)),
    ]


_PIN = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)==([^\s;\\]+)", re.MULTILINE)
_HASH = re.compile(r"--hash=(sha256:[0-9a-f]{64})\b")


def read_hashes(compiled: str) -> dict[str, set[str]]:
    """Pin -> digests of archives, from the text of a requirements file."""
    places = list(_PIN.finditer(compiled))
    ends = [*(place.start() for place in places[1:]), len(compiled)]
    return {
        f"{canonical(place[1])}=={place[2]}": set(_HASH.findall(compiled, place.end(), end))
        for place, end in zip(places, ends, strict=True)
    }


def with_archives(lock: Lock, found: Mapping[str, Collection[str]]) -> Lock:
    """The lock with digests of archives by pin; what it does not pin to that version is left out."""
    packages = (
        package.model_copy(update={"archives": tuple(sorted({*package.archives, *found.get(package.pin, ())}))})
        for package in lock.packages
    )
    return lock.model_copy(update={"packages": tuple(packages)})


def interpreter(folder: Path) -> Path:
    return folder / "bin" / "python"


def site_packages(folder: Path, lock: Lock) -> Path:
    major, minor = lock.python.split(".")[:2]
    return folder / "lib" / f"python{major}.{minor}" / "site-packages"
