"""A version made again from its evidence alone: a real training in an environment that is really built for it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from bmase.reasons import Reason
from bmase.registry.v1 import registry_pb2 as pb
from google.protobuf import json_format

from services.kit.decode import ModelRef
from services.kit.errors import DomainError
from services.trainer.data import discover
from services.trainer.engine import packing
from services.trainer.engine.attempt import Attempt, Brought, Evaluated, Logged, read_line
from services.trainer.jobs.spec import Bundle, Resources, Spec
from services.trainer.jobs.state import Outcome as GateOutcome
from services.trainer.recipes.catalogue import by_name
from services.trainer.reproduce import again
from services.trainer.reproduce.again import How, reproduce
from services.trainer.reproduce.determinism import Determinism
from services.trainer.reproduce.environment import Installer, build
from services.trainer.reproduce.machine import Machine
from services.trainer.reproduce.made import Made, made_at
from services.trainer.reproduce.observe import Worker, observe, plan_of
from services.trainer.reproduce.packages import Lock
from services.trainer.reproduce.platform import roots
from services.trainer.reproduce.record import Record
from services.trainer.reproduce.requirements import Where
from services.trainer.reproduce.verdict import Evidence, Outcome
from tests.support.wheelhouse import pack, small_lock, with_another_content

pytestmark = pytest.mark.timeout(900)  # trainings of their own, beside other tests

BUNDLE = Path(__file__).with_name("bundle")


class World:
    """Data, code, wheels, and one version that was trained here."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.data, self.bundle = folder, folder / "digits.npz", folder / "bundle"
        shutil.copytree(BUNDLE, self.bundle, ignore=shutil.ignore_patterns("__pycache__"))
        numbers = np.random.default_rng(1)
        labels = np.arange(400) % 10
        np.savez(self.data, image=numbers.normal(labels[:, None], 1, (400, 16)).astype(np.float32), label=labels)
        self.lock = small_lock()
        self.wheels = pack([package.name for package in self.lock.packages], folder / "wheels")
        self.version = self.trained()

    def record(self, lock: Lock) -> Record:
        job = Spec(
            model=ModelRef("digits"),
            bundle=Bundle(digest="sha256:" + "0" * 64, entry_point="digits:main"),
            parameters={"steps": 8, "width": 12},
            seed=5,
            resources=Resources(time_limit=600),
        )
        worker = Worker(determinism=Determinism(plan=plan_of(job)), machine=Machine(system="Linux", cores=1))
        manifests = {"data": discover(self.data.as_uri())}
        return observe(job, manifests, worker=worker, bundle=self.bundle, environment=lock)

    def trained(self) -> Made:
        """In the small environment, by the same program."""
        python = build(self.lock, self.folder / "recorded", self.how().installer)
        return again.train(python, self.record(self.lock), self.folder / "first", self.how())

    def how(self, wheels: Path | None = None) -> How:
        installer = Installer(where=Where(links=(wheels or self.wheels,), index=False), seconds=300)
        return How(self.folder / "environments", installer, self.bundle)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("world")
        patch.setenv("UV_CACHE_DIR", str(folder / "cache"))
        patch.setenv("UV_NO_CONFIG", "1")
        return World(folder)


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch: pytest.MonkeyPatch, world: World) -> None:
    monkeypatch.setenv("UV_CACHE_DIR", str(world.folder / "cache"))
    monkeypatch.setenv("UV_NO_CONFIG", "1")


def test_the_same_bytes_come_out_of_the_environment_that_is_built_from_the_record(world: World, tmp_path: Path) -> None:
    verdict = reproduce(world.version, tmp_path / "out", world.how())
    assert verdict.outcome is Outcome.IDENTICAL, verdict.sentence
    assert (verdict.changes, verdict.series, verdict.outputs.count, verdict.outputs.unequal) == ((), (), 2, 0)
    now = made_at(tmp_path / "out" / "made").record()
    assert now.environment.digest == world.lock.digest
    python = again.environment_folder(now, world.folder / "environments") / "bin/python"
    missing = subprocess.run([python, "-c", "import torch"], capture_output=True, text=True, check=False)
    assert "No module named 'torch'" in missing.stderr


def test_changed_code_is_trained_and_named(world: World, tmp_path: Path) -> None:
    changed = tmp_path / "bundle"
    shutil.copytree(world.bundle, changed, ignore=shutil.ignore_patterns("__pycache__"))
    file = changed / "digits.py"
    file.write_text(file.read_text().replace("batch_size=64", "batch_size=32"))
    how = How(world.folder / "environments", world.how().installer, changed)
    verdict = reproduce(world.version, tmp_path / "out", how)
    assert verdict.outcome is Outcome.DIFFERENT
    assert verdict.first is not None
    assert (verdict.first.evidence, verdict.series[0].beyond_step) == (Evidence.SERIES, 1)
    assert [change.name for change in verdict.changes] == ["digits.py"]
    assert "in its record, code file digits.py was sha256:" in verdict.sentence


def test_changed_data_are_named_before_anything_is_built(world: World, tmp_path: Path) -> None:
    kept = world.data.read_bytes()
    world.data.write_bytes(kept + b" ")
    try:
        with pytest.raises(DomainError, match=r"data data: file://.*digits\.npz has changed") as caught:
            reproduce(world.version, tmp_path / "out", How(tmp_path / "none", bundle=world.bundle))
    finally:
        world.data.write_bytes(kept)
    assert caught.value.reason is Reason.DIGEST_MISMATCH
    assert not (tmp_path / "none").exists()


def test_another_wheel_under_the_same_version_is_named_before_it_trains(world: World, tmp_path: Path) -> None:
    wheels = tmp_path / "wheels"
    shutil.copytree(world.wheels, wheels, copy_function=shutil.copyfile)
    (joblib,) = wheels.glob("joblib-*.whl")
    with_another_content(joblib, "joblib/__init__.py")
    how = How(tmp_path / "environments", world.how(wheels).installer, world.bundle)
    with pytest.raises(
        DomainError, match=r"joblib==\S+ has files that are not its wheel's: joblib/__init__.py"
    ) as caught:
        reproduce(world.version, tmp_path / "out", how)
    assert caught.value.reason is Reason.DIGEST_MISMATCH
    assert not (tmp_path / "out").exists()


def test_another_version_of_a_package_is_not_taken(world: World, tmp_path: Path) -> None:
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    for wheel in world.wheels.iterdir():
        name, _, rest = wheel.name.split("-", 2)
        (wheels / (f"{name}-9.9-{rest}" if name == "joblib" else wheel.name)).symlink_to(wheel)
    with pytest.raises(DomainError, match="joblib") as caught:
        reproduce(
            world.version, tmp_path / "out", How(tmp_path / "environments", world.how(wheels).installer, world.bundle)
        )
    assert caught.value.reason is Reason.ENVIRONMENT_FAILED


def test_as_a_job_it_ends_in_a_verdict_and_registers_nothing(world: World, tmp_path: Path) -> None:
    """By the engine's own driver, with the version's files laid down as the registry brings them."""
    brought = tmp_path / "version"
    shutil.copytree(world.version.folder, brought)
    shutil.copytree(world.version.evidence, brought / "evidence")
    packing.pack_folder(world.bundle, brought / "evidence/code.tar")
    version = pb.Version(number=3, files=[pb.File(path="model.onnx", role=pb.File.ROLE_MODEL)])
    job = Spec(model=ModelRef("digits"), recipe="reproduce", parameters={"version": "digits@3"})
    Attempt(
        job="j1",
        number=1,
        model="digits",
        spec=job,
        main=by_name("reproduce").main,
        place=by_name("reproduce").place,
        parameters=job.parameters,
        blobs=(tmp_path / "blobs").as_uri(),
        materials=(Brought(name="digits@3", folder=brought, version=json_format.MessageToDict(version)),),
    ).write(tmp_path)
    environment = {
        **os.environ,
        "BMASE_TRAINER_ENVIRONMENTS": str(world.folder / "environments"),
        "PYTHONPATH": os.pathsep.join(map(str, dict.fromkeys(roots().values()))),
        "UV_FIND_LINKS": str(world.wheels),
        "UV_OFFLINE": "1",
    }
    command = [sys.executable, "-m", "services.trainer.engine.driver", str(tmp_path)]
    done = subprocess.run(command, env=environment, capture_output=True, check=False)
    said = [read_line(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0, said[-1]
    last = said[-1]
    assert isinstance(last, Evaluated)
    assert not last.registers
    assert [(gate.gate, gate.outcome) for gate in last.gates] == [("reproduces digits@3", GateOutcome.PASSED)]
    assert last.sentence.startswith("The reproduction is identical: its file has the same digest")
    assert any(isinstance(each, Logged) and each.text.startswith("digits@3: The reproduction is") for each in said)
