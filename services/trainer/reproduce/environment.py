"""The recorded environment, built anew in a folder and checked, before any of its code runs, against the lock.

An archive's digest is checked by the installer; then every file of every package is read and held against the lock,
which also catches a wheel that was rebuilt under the same version.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bmase.reasons import Reason
from packaging.utils import InvalidWheelFilename, parse_wheel_filename

from services.kit.errors import DomainError, InvalidArgument, Violation
from services.kit.files import only_one, write_atomically
from services.trainer.reproduce.checks import Checks
from services.trainer.reproduce.code import file_digest
from services.trainer.reproduce.indexes import for_uv, index_of_pip
from services.trainer.reproduce.machine import running
from services.trainer.reproduce.packages import Lock, Origin, Package, canonical, installed
from services.trainer.reproduce.requirements import (
    Tool,
    Where,
    create_command,
    hashes_command,
    install_command,
    interpreter,
    read_hashes,
    refuse,
    requirements,
    site_packages,
    wanted,
    with_archives,
)

SECONDS = 3600.0
_MARK, _CHECKED = "bmase-lock", "bmase-checked.json"


@dataclass(frozen=True, slots=True)
class Installer:
    """How to build. `provided`: packages of the lock that whoever asks puts there. `seconds`: for each command."""

    tool: Tool = Tool.UV
    where: Where = field(default_factory=Where)
    provided: tuple[str, ...] = ()
    seconds: float = SECONDS


def build(lock: Lock, folder: Path, installer: Installer = Installer()) -> Path:
    """The interpreter of the environment. A folder with the same lock that is whole is used again.

    InvalidArgument names what the lock cannot give; ENVIRONMENT_FAILED carries the installer's own words;
    DIGEST_MISMATCH names a package that is not the recorded one. What is unfinished is not left behind.
    """
    refuse(lock, running(), installer.tool, installer.provided)
    folder = folder.absolute()
    building = folder.with_name(f".{folder.name}.building")  # left behind by a build that was killed
    if not _holds(folder, lock):
        if folder.exists() and not building.exists():
            raise InvalidArgument([Violation("folder", f"{folder} exists and is no environment of this lock")])
        with only_one(building, "build of an environment"):
            shutil.rmtree(folder, ignore_errors=True)
            _make(lock, folder, installer)
        shutil.rmtree(building)
    check(lock, folder, installer.provided)
    return interpreter(folder)


def look_up_archives(lock: Lock, folder: Path, installer: Installer = Installer()) -> Lock:
    """The lock with digests of the archives that there are now: of wheels in folders, and, asked by uv, of the index.

    Done when a version is made, so that its environment can be installed with required hashes later. `folder` is for
    what is written meanwhile.
    """
    lock = with_archives(lock, wheels_in(installer.where.links))
    bare = lock.model_copy(update={"packages": _from_index(lock)})
    if not (bare.packages and installer.where.index):
        return lock
    file = folder / "requirements.in"
    file.write_text(requirements(bare)[1])
    command = hashes_command(program(Tool.UV), file, lock)
    return with_archives(lock, read_hashes(_run(command, installer.seconds)))


def wheels_in(folders: Sequence[Path]) -> dict[str, set[str]]:
    """Pin -> digests of the wheels that lie there."""
    found: dict[str, set[str]] = {}
    for path in (path for folder in folders for path in sorted(folder.glob("*.whl"))):
        try:
            name, version, *_ = parse_wheel_filename(path.name)
        except InvalidWheelFilename:
            continue
        found.setdefault(f"{name}=={version}", set()).add(file_digest(path))
    return found


def _from_index(lock: Lock) -> tuple[Package, ...]:
    return tuple(each for each in lock.packages if each.origin is Origin.INDEX and not each.archives)


def program(tool: Tool) -> Path:
    """uv beside this Python, or on the path; for pip, this Python."""
    if tool is Tool.PIP:
        return Path(sys.executable)
    beside = Path(sys.executable).with_name("uv")
    found = str(beside) if beside.exists() else shutil.which("uv")
    if found is None:
        raise _failed("uv is not installed", hint="Install uv, or build with pip under the recorded Python.")
    return Path(found)


def check(lock: Lock, folder: Path, provided: Collection[str] = ()) -> None:
    """DIGEST_MISMATCH unless the folder holds exactly the lock's packages. Runs none of its code, and reads what has
    changed since it was read last.
    """
    extra = {canonical(name) for name in provided}
    checks = Checks(folder / _CHECKED)
    everything = installed([str(site_packages(folder, lock))], checks=checks)
    found = [each for each in everything if each.name not in extra]
    checks.save()
    if wrong := list(unlike(wanted(lock, provided), found)):
        more = f"; and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        raise DomainError(
            Reason.DIGEST_MISMATCH,
            f"the environment is not the recorded one: {'; '.join(wrong[:3])}{more}",
            hint="Install from where the version was made from; the index has other files under the same versions.",
        )


def unlike(recorded: Sequence[Package], found: Sequence[Package]) -> Iterator[str]:
    """What was built against what was recorded, one sentence each. Pure."""
    new = {package.name: package for package in found}
    for package in recorded:
        other = new.pop(package.name, None)
        if other is None:
            yield f"{package.pin} is missing"
        elif other.version != package.version:
            yield f"{package.name} is {other.version} instead of {package.version}"
        elif other.altered:
            yield f"{package.pin} has files that are not its wheel's: {', '.join(other.altered)}"
        elif package.content is not None and other.content != package.content:
            yield f"{package.pin} had {package.content} and has {other.content}"
    yield from (f"{package.pin} was not recorded" for package in new.values())


def _make(lock: Lock, folder: Path, installer: Installer) -> None:
    """Marked as whole only when it was checked; otherwise removed."""
    try:
        _install(lock, folder, installer)
        check(lock, folder, installer.provided)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    write_atomically(folder / _MARK, lock.digest.encode())


def _install(lock: Lock, folder: Path, how: Installer) -> None:
    using = program(how.tool)
    _run(create_command(how.tool, using, folder, lock), how.seconds)
    for name, text in zip(("hashed", "plain"), requirements(lock, how.provided), strict=True):
        if text:
            file = folder / f"{name}.txt"
            file.write_text(text)
            _run(install_command(how.tool, using, folder, file, how.where, hashed=name == "hashed"), how.seconds)


def _holds(folder: Path, lock: Lock) -> bool:
    mark = folder / _MARK
    return mark.is_file() and mark.read_text() == lock.digest


def _run(command: Sequence[str], seconds: float) -> str:
    """Its output. An active environment is not its concern, nor is what lies in the present folder."""
    kept = {key: value for key, value in os.environ.items() if key not in {"VIRTUAL_ENV", "PYTHONPATH"}}
    environment = {**kept, **for_uv(kept, index_of_pip())}
    try:
        done = subprocess.run(
            list(command), capture_output=True, text=True, env=environment, timeout=seconds, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise _failed(f"{' '.join(command[:3])} could not run: {error}") from error
    if done.returncode:
        raise _failed(f"{' '.join(command[:3])} ended with {done.returncode}: {_tail(done.stderr or done.stdout)}")
    return done.stdout


def _tail(text: str) -> str:
    """Its end, on one line, and without users and passwords of addresses."""
    return re.sub(r"://[^/\s@]+@", "://", " ".join(text.split()))[-500:]


def _failed(
    why: str, hint: str = "Check the installer's index, and that it still has these versions for this machine."
) -> DomainError:
    return DomainError(Reason.ENVIRONMENT_FAILED, f"the environment cannot be built: {why}", hint=hint)
