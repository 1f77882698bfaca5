"""A reproduction as a job, by the engine's own driver."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from bmase.registry.v1 import registry_pb2 as pb
from google.protobuf import json_format

from services.kit.decode import ModelRef
from services.trainer.engine import packing
from services.trainer.engine.attempt import Attempt, Brought, Evaluated, Logged, read_line
from services.trainer.jobs.spec import Spec
from services.trainer.jobs.state import Outcome as GateOutcome
from services.trainer.recipes.catalogue import by_name
from services.trainer.reproduce.platform import roots
from tests.integration.trainer.reproduce.world import World

# Trainings of their own, beside other tests.
pytestmark = [pytest.mark.timeout(900), pytest.mark.usefixtures("_own_cache")]


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
