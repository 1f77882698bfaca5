"""Environments of locks: built once, waited for, and ended with whoever asked; what cannot be built."""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from infra.local.place import CHECKOUT
from services.trainer.engine import locked, locks
from services.trainer.engine.attempt import EVENTS, Failed, Logged
from services.trainer.engine.process import Process
from services.trainer.jobs.state import Cause
from services.trainer.reproduce.machine import running
from services.trainer.reproduce.packages import Lock, Package
from tests.integration.trainer.lock.attempts import attempt, said_by
from tests.support.wheelhouse import unbuildable
from tests.unit.trainer.reproduce.wheels import wheel

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(300)]


@pytest.fixture(autouse=True)
def _offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (
        ("UV_CACHE_DIR", str(tmp_path / "cache")),
        ("UV_FIND_LINKS", str(tmp_path / "wheels")),
        ("UV_NO_CONFIG", "1"),
        ("UV_OFFLINE", "1"),
        ("BMASE_TRAINER_ENVIRONMENTS", str(tmp_path / "environments")),
    ):
        monkeypatch.setenv(name, value)
    (tmp_path / "wheels").mkdir()


@pytest.fixture
def tiny(tmp_path: Path) -> Lock:
    made = wheel(tmp_path / "wheels")
    digest = f"sha256:{hashlib.sha256(made.read_bytes()).hexdigest()}"
    return Lock(**running(), packages=(Package(name="tiny", version="1.0", archives=(digest,)),))


def test_it_is_built_once_and_told(tmp_path: Path, tiny: Lock) -> None:
    said: list[str] = []
    python = locked.prepared(tiny, tmp_path / "environments", said.append)
    assert said[0] == "builds the environment of the lock: 1 packages, by uv"
    subprocess.run([python, "-I", "-c", "import tiny"], check=True)
    said.clear()
    (tmp_path / "wheels/tiny-1.0-py3-none-any.whl").unlink()
    assert locked.prepared(tiny, tmp_path / "environments", said.append) == python
    assert [line.partition(" after")[0] for line in said] == ["the environment of the lock is ready"]


def test_a_second_job_waits_for_the_first(tmp_path: Path, tiny: Lock) -> None:
    target = locked.place(tiny, tmp_path)
    waits = threading.Event()
    said: list[str] = []

    def tell(text: str) -> None:
        said.append(text)
        waits.set()

    second = threading.Thread(target=locked.prepared, args=(tiny, tmp_path, tell))
    with target.with_suffix(".lock").open("w") as first:
        fcntl.flock(first, fcntl.LOCK_EX)
        second.start()
        assert waits.wait(60)
        assert said == ["another job builds the same environment; waits for it"]
        assert not target.exists()
    second.join(60)
    assert target.exists()


async def test_what_cannot_be_built_ends_the_attempt_with_the_words_of_uv(tmp_path: Path) -> None:
    said = await said_by(Process(attempt(tmp_path, unbuildable()), {}, "test-lock-fails", has_lock=True))
    assert [type(each) for each in said] == [Logged, Failed]
    assert isinstance(said[-1], Failed)
    assert said[-1].cause is Cause.ERROR
    assert "fsspec" in said[-1].message
    assert not [each for each in (tmp_path / "environments").iterdir() if (each / "bin").exists()]


async def test_it_ends_with_whoever_started_it(tmp_path: Path) -> None:
    """While it waits for another job, as while it builds."""
    folder = attempt(tmp_path, unbuildable())
    target = locked.place(locks.read(unbuildable().encode()), tmp_path / "environments")
    target.parent.mkdir(parents=True)
    with target.with_suffix(".lock").open("w") as first:
        fcntl.flock(first, fcntl.LOCK_EX)
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "services.trainer.engine.locked", str(folder)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            cwd=CHECKOUT,
            env={**Process(folder, {}, "test-lock-left")._environment, EVENTS: ""},
        )
        assert process.stdout is not None
        assert b"waits for it" in await process.stdout.readline()
        assert process.stdin is not None
        process.stdin.close()
        assert await process.wait() == 3
