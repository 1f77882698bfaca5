"""A version made again from its evidence alone: a real training in an environment that is really built for it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from bmase.reasons import Reason

from services.kit.errors import DomainError
from services.trainer.reproduce import again
from services.trainer.reproduce.again import How, reproduce
from services.trainer.reproduce.made import made_at
from services.trainer.reproduce.verdict import Evidence, Outcome
from tests.integration.trainer.reproduce.world import World
from tests.support.wheelhouse import with_another_content

# Trainings of their own, beside other tests.
pytestmark = [pytest.mark.timeout(900), pytest.mark.usefixtures("_own_cache")]


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
