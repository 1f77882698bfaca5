"""The example of training code of one's own, run as its documentation says."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from bmase.training import LocalRun

from tests.support.ports import free_port

pytestmark = pytest.mark.timeout(900)  # trainings of their own, beside other tests

ROOT = Path(__file__).parents[4]
EXAMPLE = ROOT / "examples" / "training" / "train.py"


def run(data: Path, folder: Path, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    command = [sys.executable, str(EXAMPLE), "--data", str(data), "--out", str(folder / "out"), *arguments]
    path = {"PYTHONPATH": str(ROOT / "sdk"), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, cwd=folder, env=os.environ | path | environment, stderr=subprocess.PIPE, text=True)


def told(process: subprocess.Popen[str]) -> str:
    try:
        _, lines = process.communicate(timeout=240)
    finally:
        process.kill()
    assert process.returncode == 0, lines
    return lines


def right(data: Path, model: Path) -> float:
    rows = LocalRun({"data": data}).table("test")
    logits = np.asarray(onnxruntime.InferenceSession(model).run(None, {"image": rows["image"].astype(np.float32)})[0])
    return float((logits.argmax(1) == rows["label"]).mean())


def test_it_learns_and_goes_on_from_a_checkpoint_with_two_workers(digits: Path, tmp_path: Path) -> None:
    kept = ("--checkpoints", str(tmp_path / "checkpoints"), "--every", "20")
    lines = told(run(digits, tmp_path, "--set", "epochs=4", *kept))
    assert "step 80  val_accuracy" in lines
    assert [path.name[5:17] for path in sorted((tmp_path / "checkpoints").iterdir())] == [
        "000000000040",
        "000000000060",
        "000000000080",
    ]

    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "WORLD_SIZE": "2"}
    workers = [run(digits, tmp_path, "--set", "epochs=12", *kept, **shared, RANK=str(rank)) for rank in range(2)]
    lines, silent = (told(worker) for worker in workers)

    assert "step 81  " in lines
    assert "step " not in silent
    assert right(digits, tmp_path / "out" / "model.onnx") >= 0.93
