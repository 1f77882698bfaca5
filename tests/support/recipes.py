"""Recipes run by `LocalRun`, and their products asked as the platform asks them: through their hooks."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from bmase.training import Cases, LocalRun, Product, Run, local
from torch import distributed

from services.trainer.recipes.catalogue import by_name

SEED = 3


@dataclass(frozen=True)
class Trained:
    """What a training left: the product's files in `folder`, and checkpoints beside it."""

    name: str
    parameters: Mapping[str, Any]
    data: Path
    product: Product
    folder: Path
    checkpoints: Path
    metrics: list[dict[str, float]]
    test: Mapping[str, np.ndarray]

    def last(self, metric: str) -> float:
        return [each[metric] for each in self.metrics if metric in each][-1]

    def ask(self) -> tuple[Cases, dict[str, np.ndarray]]:
        """The test rows as cases, and every output for all of them."""
        cases = named(self.product.cases)(self.test, self.folder)
        session = onnxruntime.InferenceSession(self.folder / "model.onnx")
        return cases, dict(
            zip([each.name for each in session.get_outputs()], session.run(None, dict(cases.inputs)), strict=True)
        )


class Ended(LocalRun):
    """A run with one checkpoint more, after the last step."""

    total = 0

    def report(self, step: int, *, total: int = 0, epoch: float = 0.0, message: str = "", **metrics: float) -> None:
        self.total = total
        super().report(step, total=total, epoch=epoch, message=message, **metrics)

    def due(self, step: int) -> bool:
        return super().due(step) or step == self.total


def train(
    name: str, data: Path, parameters: Mapping[str, Any], out: Path, *, every: int = 0, checkpoints: Path | None = None
) -> Trained:
    """One worker, one thread as the environment says; goes on from what `checkpoints` holds."""
    kept = checkpoints or out.with_name(f"{out.name}-checkpoints")
    checked = by_name(name).check(parameters).model_dump()
    with Ended({"data": data}, checked, out=out, checkpoints=kept, every=every, quiet=True, seed=SEED) as run:
        main_of(name)(run)
        assert run.product is not None
        return Trained(name, checked, data, run.product, out, kept, run.metrics, run.table("test"))


def main_of(name: str) -> Callable[[Run], None]:
    return named(by_name(name).main)


def named(reference: str) -> Callable[..., Any]:
    """What "module:function" names."""
    module, _, function = reference.partition(":")
    return getattr(importlib.import_module(module), function)


def content(folder: Path) -> dict[str, bytes]:
    """All files below a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def several(jobs: Path) -> None:
    """One worker of those that the environment names, as torchrun does: each of (recipe, data, parameters, out)."""
    distributed.init_process_group("gloo")
    for name, data, parameters, out in json.loads(jobs.read_text()):
        sets = [part for key, value in parameters.items() for part in ("--set", f"{key}={json.dumps(value)}")]
        local(main_of(name), ["--data", data, "--seed", str(SEED), "--out", out, *sets])
    distributed.destroy_process_group()


if __name__ == "__main__":
    several(Path(sys.argv[1]))
