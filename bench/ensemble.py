"""Is a tuned ensemble ever worse than the member that one would have taken instead?

For each data set and seed, rows are parted by lot; networks, trees and a linear model are trained on one part, in
their own libraries and with their own inputs. The recipe "ensemble" weighs them on the second part and merges them.
On the third part, which nobody has seen, the merged file is run, and its losses are held against those of the member
that was best on the second part, row by row.

    make bench BENCH=ensemble
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime

from bench.ensemble_members import SETS, TEST, DataSet, Rows, parts
from bench.support import results
from services.trainer.ensembles.loss import loss_of
from services.trainer.ensembles.paired import Interval, interval
from services.trainer.ensembles.rows import Kind, check
from services.trainer.ensembles.rows import Rows as Said
from services.trainer.recipes.catalogue import by_name
from services.trainer.recipes.ensemble.train import main as ensemble
from tests.support.alone import Alone

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Trial:
    """One data set with one seed; losses are on the test rows, `gain` is the best member's less the ensemble's."""

    weights: Mapping[str, float]
    best: str
    best_loss: float
    gain: Interval
    verdict: str
    largest_difference: float
    seconds: float

    @property
    def relative(self) -> float:
        return self.gain.mean / self.best_loss

    @property
    def worse(self) -> bool:
        return self.gain.upper < 0


def trial(data: DataSet, seed: int, folder: Path) -> Trial:
    """Trains the members, makes the ensemble, and judges the file that came out."""
    rows = parts(data.rows(), seed)
    versions = {}
    for name, train in data.members.items():
        versions[f"{name}@1"] = folder / name
        versions[f"{name}@1"].mkdir()
        train(rows["train"], seed, folder / name / "model.onnx")
    (folder / "run").mkdir()
    asked = {
        "members": tuple(versions),
        "target": "target",
        "task": data.task,
        "inputs": dict(data.inputs),
        "logits": tuple(f"{name}@1" for name in data.logits),
        "force": True,  # the question is what it is worth, whatever the verdict
    }
    run = Alone(folder / "run", rows, versions, **by_name("ensemble").check(asked).model_dump())
    begun = time.perf_counter()
    ensemble(run)
    seconds = time.perf_counter() - begun
    assert run.product is not None
    document = json.loads(run.product.evidence["ensemble.json"].read_text())
    best = document["best"]
    mine = answers(run.product.folder / "model.onnx", rows[TEST], "x", run.product.output)
    theirs = answers(versions[best] / "model.onnx", rows[TEST], "x", "")
    gain, loss = compared(data, mine, theirs, rows[TEST]["target"])
    return Trial(
        document["weights"],
        best,
        loss,
        gain,
        document["verdict"],
        max(document["largest_difference"].values()),
        seconds,
    )


def answers(path: Path, rows: Rows, column: str, output: str) -> np.ndarray:
    """(n, k): what the file says, by onnxruntime alone."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (takes,) = session.get_inputs()
    x = rows[column].reshape(len(rows[column]), *takes.shape[1:])
    wanted = output or next(o.name for o in session.get_outputs() if o.type == "tensor(float)")
    said = np.concatenate([session.run([wanted], {takes.name: part})[0] for part in np.array_split(x, 8)])
    said = said.reshape(len(said), -1).astype(float)
    if wanted == "logits":
        said = np.exp(said - said.max(axis=1, keepdims=True))
        said /= said.sum(axis=1, keepdims=True)
    return said


def compared(data: DataSet, mine: np.ndarray, theirs: np.ndarray, target: np.ndarray) -> tuple[Interval, float]:
    """The gain with its interval, and the loss of the member."""
    kind = Kind.PROBABILITIES if data.task == "classification" else Kind.NUMBERS
    checked = check(Said({"member": theirs, "ensemble": mine}, target), kind)
    loss = loss_of(checked, kind)
    member, whole = loss.rows(np.array([1.0, 0.0])), loss.rows(np.array([0.0, 1.0]))
    return interval(member - whole, checked.units, CONFIDENCE), float(member.mean())


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=3)
    asked = parser.parse_args()
    titles = f"{'data':<8}{'seed':>5}  {'best member':<12}{'loss':>9}{'gain':>10}"
    print(f"{titles}   {'95% interval':<24}{'verdict':<12}weights")
    made: dict[str, list[Trial]] = {}
    for data in SETS:
        for seed in range(asked.seeds):
            with tempfile.TemporaryDirectory() as folder:
                one = trial(data, seed, Path(folder))
            made.setdefault(data.name, []).append(one)
            weights = ", ".join(f"{name.partition('@')[0]} {weight:.2f}" for name, weight in one.weights.items())
            between = f"{one.gain.lower:+.4f} to {one.gain.upper:+.4f}"
            print(
                f"{data.name:<8}{seed:>5}  {one.best:<12}{one.best_loss:>9.4f}{one.gain.mean:>+10.4f}   {between:<24}"
                f"{one.verdict:<12}{weights}",
                flush=True,
            )
    trials = [one for each in made.values() for one in each]
    results.finish(
        "ensemble",
        {
            "datasets": len(made),
            "trials": len(trials),
            "significantly_worse": sum(one.worse for one in trials),
            "better": sum(one.verdict == "better" for one in trials),
            "mean_gain": round(float(np.mean([one.relative for one in trials])), 4),
            "mean_gain_by_data": {
                name: round(float(np.mean([one.relative for one in each])), 4) for name, each in made.items()
            },
            "least_gain": round(min(one.relative for one in trials), 4),
            "largest_difference": max(one.largest_difference for one in trials),
            "seconds": round(float(np.median([one.seconds for one in trials])), 2),
        },
    )


if __name__ == "__main__":
    main()
