"""An attempt with a lock: its environment is really built, and driver and workers on a real Ray run in it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.trainer.engine import locks, packing
from services.trainer.engine.attempt import LOCK, Evaluated, Logged
from services.trainer.engine.blobs import Blobs
from services.trainer.engine.embedded import EmbeddedRay
from services.trainer.engine.process import Process
from services.trainer.reproduce.environment import wheels_in
from services.trainer.reproduce.record import Record
from tests.integration.trainer.lock.attempts import attempt, said_by
from tests.support.wheelhouse import needed, pack
from tests.unit.trainer.reproduce.wheels import wheel

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of what drivers need, and one package that the trainer's environment has not."""
    folder = pack(needed(locks.NEEDED), tmp_path_factory.mktemp("wheels"))
    wheel(folder, source="VALUE = 7\n")
    return folder


@pytest.fixture(scope="module")
def lock(wheels: Path) -> str:
    pins = wheels_in([wheels]).items()
    return "".join(f"{pin} {' '.join(f'--hash={digest}' for digest in digests)}\n" for pin, digests in pins)


@pytest.fixture(autouse=True)
def _offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wheels: Path) -> None:
    for name, value in (
        ("UV_CACHE_DIR", str(wheels.parent / "cache")),
        ("UV_FIND_LINKS", str(wheels)),
        ("UV_NO_CONFIG", "1"),
        ("UV_OFFLINE", "1"),
        ("BMASE_TRAINER_ENVIRONMENTS", str(wheels.parent / "environments")),
    ):
        monkeypatch.setenv(name, value)


@pytest.fixture
async def ray(tmp_path: Path) -> AsyncIterator[EmbeddedRay]:
    made = EmbeddedRay(tmp_path / "ray", 2)
    yield made
    await made.close()


async def test_driver_and_workers_run_in_the_environment_of_the_lock(
    tmp_path: Path, lock: str, ray: EmbeddedRay
) -> None:
    folder = attempt(tmp_path, lock, await ray.address())
    said = await said_by(Process(folder, ray.environment, "test-lock", has_lock=True))
    lines = [each.text for each in said if isinstance(each, Logged)]
    assert isinstance(said[-1], Evaluated), (said[-1], lines, (folder / "driver.log").read_text()[-2000:])
    packages = len(lock.splitlines())
    assert lines[0] == f"builds the environment of the lock: {packages} packages, by uv"
    assert lines[1].startswith("the environment of the lock is ready after")
    (told,) = [line for line in lines if line.startswith("tiny")]
    environments = os.environ["BMASE_TRAINER_ENVIRONMENTS"]
    assert told.startswith(f"tiny 7, torch None, python {environments}/job-")

    evidence = tmp_path / "evidence.tar"
    await asyncio.to_thread(Blobs((tmp_path / "blobs").as_uri()).get, said[-1].evidence, evidence)
    packing.unpack(evidence, tmp_path / "evidence")
    assert (tmp_path / "evidence" / LOCK).read_text() == lock
    record = Record.from_json((tmp_path / "evidence/record.json").read_bytes())
    assert {package.pin: set(package.archives) for package in record.environment.packages} == {
        line.split()[0]: {word.removeprefix("--hash=") for word in line.split()[1:]} for line in lock.splitlines()
    }
    tiny = record.environment.package("tiny")
    assert tiny is not None
    assert tiny.content is not None  # read where it was installed
