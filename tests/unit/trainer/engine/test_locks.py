"""What a job's lock has to hold, where its environment lies, and that one is built while others wait."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

import pytest

from services.kit.decode import ModelRef
from services.kit.errors import DomainError, InvalidArgument
from services.trainer.engine import assignment, locked, locks
from services.trainer.engine.attempt import Failed, read_line
from services.trainer.engine.registry import Registry
from services.trainer.jobs.spec import Bundle, Spec
from services.trainer.jobs.state import Cause
from services.trainer.reproduce.machine import running
from services.trainer.reproduce.packages import Lock, Package

A, B = "sha256:" + "a" * 64, "sha256:" + "b" * 64


def text(names: Sequence[str] = locks.NEEDED, ray: str = "") -> bytes:
    versions = dict.fromkeys(names, "1.0") | {"ray": ray or metadata.version("ray")}
    return "".join(f"{name}=={version} --hash={A}\n" for name, version in versions.items()).encode()


def test_a_lock_that_holds_what_drivers_need_is_taken() -> None:
    assert {package.name for package in locks.read(text()).packages} == set(locks.NEEDED)


def test_what_is_missing_is_named_and_another_ray_is_refused() -> None:
    with pytest.raises(InvalidArgument) as caught:
        locks.fitting(Lock(**running(), packages=(Package(name="ray", version="1.0"),)), "1.0")
    assert "it lacks what BMASE runs jobs with: fsspec, " in caught.value.violations[0].description
    with pytest.raises(InvalidArgument, match=r"it has ray==2\.0\.0, and the trainer's Ray is"):
        locks.read(text(ray="2.0.0"))


def test_a_lock_has_a_largest_size() -> None:
    with pytest.raises(InvalidArgument, match="are the most"):
        locks.read(b"#" * (locks.MOST_BYTES + 1))


def test_recipes_that_work_on_versions_have_no_lock() -> None:
    with pytest.raises(InvalidArgument, match="reproduce runs in the trainer's own environment"):
        locks.may_have_one(Spec(model=ModelRef("m"), recipe="reproduce", environment_digest=A))
    locks.may_have_one(Spec(model=ModelRef("m"), recipe="tabular", environment_digest=A))


class Stored(Registry):
    """Artefacts by digest."""

    def __init__(self, **kept: bytes) -> None:
        self.kept = kept

    async def document(self, digest: str, most: int) -> bytes:
        if digest not in self.kept:
            raise DomainError(assignment.Reason.ARTEFACT_NOT_FOUND, "no such artefact")
        return self.kept[digest]


@pytest.mark.anyio
async def test_a_job_is_looked_at_before_it_is_made() -> None:
    def spec(digest: str | None) -> Spec:
        return Spec(model=ModelRef("m"), bundle=Bundle(digest=A, entry_point="a:main"), environment_digest=digest)

    await assignment.look_at(spec(None), Stored())
    await assignment.look_at(spec(A), Stored(**{A: text()}))
    with pytest.raises(InvalidArgument, match=rf"job.environment_digest: {B} is not stored"):
        await assignment.look_at(spec(B), Stored(**{A: text()}))
    with pytest.raises(InvalidArgument, match=r"line 1: numpy is not pinned"):
        await assignment.look_at(spec(A), Stored(**{A: b"numpy\n"}))


def test_environments_are_told_apart_by_their_archives_too(tmp_path: Path) -> None:
    def lock(archive: str, python: str = "3.11.2") -> Lock:
        return Lock(**{**running(), "python": python}, packages=(Package(name="a", version="1", archives=(archive,)),))

    one = locked.place(lock(A), tmp_path)
    assert one == locked.place(lock(A), tmp_path)
    assert len({one, locked.place(lock(B), tmp_path), locked.place(lock(A, "3.11.3"), tmp_path)}) == 3


def test_an_environment_that_lacks_something_is_told_as_the_end_of_the_attempt(tmp_path: Path) -> None:
    root = Path(assignment.__file__).parents[3]
    command = [sys.executable, "-I", "-S", "-c"]  # a Python without packages
    code = f"import sys; sys.path.insert(0, {str(root)!r}); from services.trainer.engine import inside; inside.main()"
    done = subprocess.run([*command, code, str(tmp_path)], capture_output=True, check=True, env={})
    said = read_line(done.stdout)
    assert isinstance(said, Failed)
    assert said.cause is Cause.ERROR
    assert "BMASE cannot run in the environment of the lock: ModuleNotFoundError: No module named" in said.message
