"""A search in two real processes of torch's process group: both try the same, give up together and end alike."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from infra.runtime.layout import CHECKOUT

pytestmark = pytest.mark.timeout(900)  # trainings of their own, beside other tests

WORKER = """
import json, sys
from pathlib import Path
import torch
from torch import distributed
from bmase.training.local import LocalRun
from services.trainer.search import take
from services.trainer.search.searching import Search
from services.trainer.search.together import together

rank, folder = int(sys.argv[1]), Path(sys.argv[2])
distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
tried = []

def main(run):
    weight = torch.zeros(1)
    for step in range(8):
        gradient = 2 * (weight - 1)
        distributed.all_reduce(gradient)  # hangs for ever when one worker has gone
        weight -= run.parameters["rate"] * gradient / 2
        tried.append([run.parameters["rate"], step])
        run.report(step + 1, val_loss=float((weight - 1) ** 2))
        run.due(step + 1)

space = {"rate": {"low": 1e-3, "high": 0.5, "log": True}}
_, wish = take({"search": {"space": space, "trials": 12}})
with LocalRun(seed=3, rank=rank, world_size=2, quiet=True) as run:
    search = Search(run, main, wish, together(run))
    best = search.run()
states = sorted({str(trial.state) for trial in search.trials})
print(json.dumps({"best": best, "tried": tried, "states": states}))
distributed.destroy_process_group()
"""


def test_two_workers_search_as_one(tmp_path: Path) -> None:
    # Threads of two processes on few cores only wait for each other.
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": f"{CHECKOUT}/sdk:{CHECKOUT}"}
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, str(rank), str(tmp_path)],
            cwd=CHECKOUT,
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in (0, 1)
    ]
    try:
        ended = [worker.communicate(timeout=240) for worker in workers]
    finally:
        for worker in workers:
            worker.kill()
    assert [worker.returncode for worker in workers] == [0, 0], [error[-3000:] for _, error in ended]
    first, second = (json.loads(out.splitlines()[-1]) for out, _ in ended)
    assert first["best"] == second["best"]
    assert first["tried"] == second["tried"]
    assert first["states"] == ["complete", "pruned"]
    assert second["states"] == [], "only rank 0 has a study"
    assert len(first["tried"]) < 12 * 8
    assert first["best"]["rate"] > 0.05
