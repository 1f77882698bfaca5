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
from pathlib import Path

from bmase.reasons import Reason

from services.kit.errors import DomainError, InvalidArgument, Violation
from services.kit.files import only_one, write_atomically
from services.trainer.reproduce.machine import running
from services.trainer.reproduce.packages import Lock, Package, canonical, installed
from services.trainer.reproduce.requirements import (
    Tool,
    Where,
    create_command,
    hashes_command,
    install_command,
    interpreter,
    refuse,
    requirements,
    site_packages,
    wanted,
    with_archives,
)

SECONDS = 3600.0
_MARK = "bmase-lock"


def build(
    lock: Lock, folder: Path, *, where: Where | None = None, provided: Collection[str] = (), tool: Tool = Tool.UV,
    seconds: float = SECONDS,
) -> Path:  # fmt: skip
    """The interpreter of the environment. A folder with the same lock that is whole is used again.

    InvalidArgument names what the lock cannot give; ENVIRONMENT_FAILED carries the installer's own words;
    DIGEST_MISMATCH names a package that is not the recorded one. What is unfinished is not left behind.
    """
    refuse(lock, running(), tool, provided)
    folder = folder.absolute()
    building = folder.with_name(f".{folder.name}.building")  # left behind by a build that was killed
    if not _holds(folder, lock):
        if folder.exists() and not building.exists():
            raise InvalidArgument([Violation("folder", f"{folder} exists and is no environment of this lock")])
        with only_one(building, "build of an environment"):
            shutil.rmtree(folder, ignore_errors=True)
            _make(lock, folder, where or Where(), provided, tool, seconds)
        shutil.rmtree(building)
    check(lock, folder, provided)
    return interpreter(folder)


def look_up_archives(lock: Lock, folder: Path, *, where: Where | None = None, seconds: float = SECONDS) -> Lock:
    """The lock with digests of the archives that the index has now; `folder` is for what is written meanwhile.

    Done when a version is made, so that its environment can be installed with required hashes later.
    """
    file = folder / "requirements.in"
    file.write_text(requirements(lock.model_copy(update={"packages": _from_index(lock)}))[1])
    return with_archives(lock, _run(hashes_command(program(Tool.UV), file, where or Where(), lock), seconds))


def _from_index(lock: Lock) -> tuple[Package, ...]:
    bare = (package for package in lock.packages if package.origin == "index" and not package.archives)
    return tuple(bare)


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
    """DIGEST_MISMATCH unless the folder holds exactly the lock's packages. Runs none of its code."""
    extra = {canonical(name) for name in provided}
    found = [each for each in installed([str(site_packages(folder, lock))]) if each.name not in extra]
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


def _make(lock: Lock, folder: Path, where: Where, provided: Collection[str], tool: Tool, seconds: float) -> None:
    """Marked as whole only when it was checked; otherwise removed."""
    try:
        _install(lock, folder, where, provided, tool, seconds)
        check(lock, folder, provided)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    write_atomically(folder / _MARK, lock.digest.encode())


def _install(lock: Lock, folder: Path, where: Where, provided: Collection[str], tool: Tool, seconds: float) -> None:
    using = program(tool)
    _run(create_command(tool, using, folder, lock), seconds)
    for name, text in zip(("hashed", "plain"), requirements(lock, provided), strict=True):
        if text:
            file = folder / f"{name}.txt"
            file.write_text(text)
            _run(install_command(tool, using, folder, file, where, hashed=name == "hashed"), seconds)


def _holds(folder: Path, lock: Lock) -> bool:
    mark = folder / _MARK
    return mark.is_file() and mark.read_text() == lock.digest


def _run(command: Sequence[str], seconds: float) -> str:
    """Its output. An active environment is not its concern, nor is what lies in the present folder."""
    environment = {key: value for key, value in os.environ.items() if key not in {"VIRTUAL_ENV", "PYTHONPATH"}}
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
    return DomainError(Reason.ENVIRONMENT_FAILED, f"the recorded environment cannot be built: {why}", hint=hint)
