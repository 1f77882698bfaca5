"""Real trainings in fresh processes: the same plan gives the same bytes, and another seed is found and named."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from services.trainer.reproduce.determinism import Plan
from services.trainer.reproduce.record import Record
from services.trainer.reproduce.runs import Run, read_run
from services.trainer.reproduce.tolerance import Tolerance
from services.trainer.reproduce.verdict import Evidence, Outcome, judge

pytestmark = pytest.mark.timeout(900)  # trainings of their own, beside other tests


def trained(folder: Path, seed: int) -> Run:
    folder.mkdir()
    # By its path: an installed package may be called `tests` too.
    command = [sys.executable, str(Path(__file__).with_name("training.py")), str(folder), str(seed)]
    environment = {**os.environ, **Plan(seed=seed, threads=1).environment, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    losses = {int(step): value for step, value in json.loads((folder / "losses.json").read_text()).items()}
    record = Record.from_json((folder / "record.json").read_text())
    return read_run(
        folder, ["model.safetensors"], record, {"loss": losses}, {"answers": np.load(folder / "answers.npy")}
    )


def test_the_same_plan_gives_the_same_bytes_and_another_seed_does_not(tmp_path: Path) -> None:
    first, second, other = (trained(tmp_path / name, seed) for name, seed in (("a", 5), ("b", 5), ("c", 6)))
    assert first.record.determinism.unmet == ()
    assert first.record.machine.torch is not None
    assert first.record.machine.torch.threads == 1
    same = judge(first, second, Tolerance())
    assert (same.outcome, same.series, same.outputs.unequal, same.changes) == (Outcome.IDENTICAL, (), 0, ())
    apart = judge(first, other, Tolerance())
    assert apart.outcome is Outcome.DIFFERENT
    assert apart.first is not None
    assert (apart.first.evidence, apart.series[0].beyond_step) == (Evidence.SERIES, 1)
    assert "loss parts at step 1 (" in apart.sentence
    assert "in its record, seed was 5 and is 6" in apart.sentence
