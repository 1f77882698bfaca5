"""A search in a job's worker: its checkpoints are files in a real store, and the next attempt goes on from them."""

from __future__ import annotations

import json
import sys
import tarfile
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from bmase.training import Product, Run

from services.trainer.engine.attempt import FILE, Attempt, Checkpointed, Kept, Measured, Said
from services.trainer.engine.calling import CodeFailedError, call
from services.trainer.engine.run import JobRun
from services.trainer.jobs.spec import Spec
from services.trainer.recipes.recipe import Place
from services.trainer.search import take

pytestmark = pytest.mark.timeout(900)  # trainings of their own, beside other tests

SEARCH = {"space": {"rate": {"low": 0.001, "high": 1.0, "log": True}}, "trials": 6, "budget": {"steps": 2}}
PARAMETERS: Mapping[str, Any] = {"steps": 4, "search": SEARCH}
OWN, WISH = take(PARAMETERS)


def main(run: Run) -> None:
    saved = run.resume()
    for step in range(saved.step if saved else 0, run.parameters["steps"]):
        run.report(step + 1, val_loss=abs(run.parameters["rate"] - 0.1))
        run.checkpoint(step + 1, {"rate": run.parameters["rate"]})
    product = run.folder / "product"
    product.mkdir()
    (product / "model.onnx").write_bytes(b"model")
    run.finish(Product(product))


@pytest.fixture(autouse=True)
def code(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The code as a module that can be imported by name."""
    module = ModuleType("toy_training")
    module.main = main  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "toy_training", module)
    return module


def attempted(tmp_path: Path, number: int, checkpoint: Kept | None = None) -> tuple[JobRun, list[Said]]:
    spec = Spec.model_validate({"model": "models/toy", "recipe": "toy", "parameters": dict(PARAMETERS), "seed": 5})
    attempt = Attempt(
        job="job",
        number=number,
        model="toy",
        spec=spec,
        main="toy_training:main",
        place=Place.WORKERS,
        parameters=OWN,
        search=WISH,
        blobs=(tmp_path / "blobs").as_uri(),
        checkpoints=(checkpoint,) if checkpoint else (),
    )
    folder = tmp_path / f"worker-{number}"
    folder.mkdir()
    attempt.write(folder)
    attempt = Attempt.read(folder)  # as the driver gets it
    (folder / FILE).unlink()
    said: list[Said] = []
    run = JobRun(attempt, {}, folder, said.append)
    call(attempt, run)
    return run, said


def table(run: JobRun, tmp_path: Path) -> dict[str, Any]:
    assert run.product is not None
    with tarfile.open(tmp_path / "blobs" / run.product.key) as tar:
        content = tar.extractfile("evidence/search.json")
        assert content is not None
        found: dict[str, Any] = json.loads(content.read())
        return found


def test_the_product_of_a_search_has_its_table(tmp_path: Path) -> None:
    run, said = attempted(tmp_path, 1)
    found = table(run, tmp_path)
    assert len(found["trials"]) == 6
    assert found["best"]["value"] == min(t["value"] for t in found["trials"] if t["state"] == "complete")
    measured = {name for each in said if isinstance(each, Measured) for name in each.values}
    assert {"trial.1.val_loss", "trial_best", "val_loss"} <= measured
    steps = [each.kept.step for each in said if isinstance(each, Checkpointed)]
    assert steps == sorted(set(steps))
    assert steps[-1] == 6 + 4


def test_the_next_attempt_goes_on_after_the_last_trial(
    tmp_path: Path, code: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "whole").mkdir()
    whole, _ = attempted(tmp_path / "whole", 1)
    said: list[Said] = []

    def out_of_memory(run: Run) -> None:
        if len(calls) == 3:
            raise MemoryError
        calls.append(run.parameters["rate"])
        main(run)

    calls: list[float] = []
    monkeypatch.setattr(code, "main", out_of_memory)
    monkeypatch.setattr(JobRun, "checkpoint", _kept_at_once(JobRun.checkpoint, said))
    with pytest.raises(CodeFailedError):
        attempted(tmp_path, 1)
    last = [each.kept for each in said if isinstance(each, Checkpointed)][-1]
    assert last.step == 3

    monkeypatch.setattr(code, "main", main)
    run, later = attempted(tmp_path, 2, last)
    assert table(run, tmp_path) == table(whole, tmp_path / "whole")
    assert min(each.kept.step for each in later if isinstance(each, Checkpointed)) == 4


def _kept_at_once(plain: Any, said: list[Said]) -> Any:
    """Waits for each checkpoint: an attempt that dies would leave the last one half."""

    def checkpoint(self: JobRun, step: int, state: Mapping[str, Any]) -> None:
        kept = self._writer._write(step, state)
        said.append(Checkpointed(kept=kept))
        self._tell(Checkpointed(kept=kept))

    return checkpoint
