"""Image classification by one worker and by two, stopped and gone on with: always the same training."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from bmase.training import LocalRun, checkpoints

from tests.integration.trainer.recipes import worker_program
from tests.support.ports import free_ports

pytestmark = pytest.mark.timeout(900)  # trainings of their own, beside other tests

ROOT = Path(__file__).parents[4]
# Without dropout, whose masks are each worker's own, two workers compute what one does.
PARAMETERS = {"width": 8, "epochs": 2, "batch": 64, "dropout": 0.0, "learning_rate": 0.002}
STEPS = 2 * 20  # of 1280 training rows


def asked(data: Path, folder: Path, **changes: Any) -> dict[str, Any]:
    parameters = PARAMETERS | changes.pop("parameters", {})
    recipe = {"recipe": "image-classification", "data": str(data), "parameters": parameters}
    return recipe | {"out": str(folder / "out"), "checkpoints": str(folder / "checkpoints"), **changes}


def two_workers(what: dict[str, Any]) -> None:
    (port,) = free_ports(1)
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2", "OMP_NUM_THREADS": "1"}
    path = os.pathsep.join([str(ROOT / "sdk"), str(ROOT)])
    command = [sys.executable, str(worker_program.__file__), json.dumps(what)]
    started = [
        subprocess.Popen(
            command, cwd=ROOT, env=os.environ | shared | {"RANK": str(rank), "PYTHONPATH": path}, stderr=subprocess.PIPE
        )
        for rank in range(2)
    ]
    try:
        for worker in started:
            _, problem = worker.communicate(timeout=200)
            assert worker.returncode == 0, problem.decode()
    finally:
        for worker in started:
            worker.kill()
            worker.wait()


@pytest.fixture(scope="module")
def whole(digits: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The product of one worker that was never stopped."""
    folder = tmp_path_factory.mktemp("whole")
    worker_program.work(asked(digits, folder), 0, 1)
    return folder / "out" / "model.onnx"


def answers(model: Path, data: Path) -> np.ndarray:
    session = onnxruntime.InferenceSession(model)
    rows = LocalRun({"data": data}).table("test")
    return np.asarray(session.run(None, {"image": rows["image"].astype(np.float32)})[0])


def test_what_was_stopped_within_an_epoch_gives_the_same_bytes(digits: Path, whole: Path, tmp_path: Path) -> None:
    worker_program.work(asked(digits, tmp_path, every=30, dies=True), 0, 1)
    saved = checkpoints.last(tmp_path / "checkpoints")
    assert saved is not None
    assert (saved.step, saved.state["epoch"], saved.state["done"]) == (30, 1, 10)
    assert not (tmp_path / "out").exists()

    run = worker_program.work(asked(digits, tmp_path, every=1000), 0, 1)

    assert [told["step"] for told in run.metrics if "loss" in told] == list(range(31, STEPS + 1))
    assert (tmp_path / "out" / "model.onnx").read_bytes() == whole.read_bytes()


def test_a_checkpoint_fits_any_number_of_workers(digits: Path, whole: Path, tmp_path: Path) -> None:
    """One begins, two go on with copies of the model, two with parts of it, and one ends."""
    worker_program.work(asked(digits, tmp_path, every=5, dies=True), 0, 1)
    two_workers(asked(digits, tmp_path, every=5, dies=True))
    two_workers(asked(digits, tmp_path, every=5, dies=True, parameters={"strategy": "fsdp"}))
    assert [path.name for path in checkpoints.found(tmp_path / "checkpoints")] == [
        "step-000000000005.pt",
        "step-000000000010.pt",
        "step-000000000015.pt",
    ]

    run = worker_program.work(asked(digits, tmp_path, every=1000), 0, 1)

    assert run.metrics[0]["step"] == 16
    np.testing.assert_allclose(answers(tmp_path / "out" / "model.onnx", digits), answers(whole, digits), atol=1e-3)
