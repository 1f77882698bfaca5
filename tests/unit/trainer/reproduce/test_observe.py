"""The record that is taken of a job."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from services.trainer.jobs.spec import Bundle, Resources, Spec, Split
from services.trainer.recipes import catalogue
from services.trainer.recipes.recipe import Parameters, Recipe
from services.trainer.reproduce.changes import changes
from services.trainer.reproduce.determinism import Determinism, Plan
from services.trainer.reproduce.machine import Machine
from services.trainer.reproduce.observe import Worker, observe, plan_of, splits_of
from services.trainer.reproduce.record import Record
from services.trainer.reproduce.tolerance import Bound, Tolerance
from tests.unit.trainer.reproduce.recorded import digest, lock, manifest


class Few(Parameters):
    steps: int = 10
    rate: float = 0.5


WIDE = Tolerance(weights=Bound(absolute=1e-3))
RECIPE = Recipe("few", "Few", "services.trainer.evaluation.calibration:main", Few, tolerance=WIDE)


@pytest.fixture(autouse=True)
def _known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(catalogue.RECIPES, "few", RECIPE)


def spec(**fields: Any) -> Spec:
    return Spec(**{"model": "models/digits", "recipe": "few", "seed": 7, "parameters": {"steps": 3}, **fields})


def observed(job: Spec, **how: Any) -> Record:
    worker = Worker(determinism=Determinism(plan=plan_of(job)), machine=Machine(system="Linux", cores=2))
    return observe(job, {"data": manifest()}, worker=worker, environment=lock(), **how)


def test_a_recipe_is_recorded_with_its_defaults_and_its_tolerance() -> None:
    record = observed(spec(split=Split(validation=0.2, test=0.1, key=("user",))))
    assert record.parameters == {"steps": 3, "rate": 0.5}
    assert (record.recipe, record.code.entry, record.tolerance) == ("few", RECIPE.main, WIDE)
    splits = record.data["data"].splits
    assert splits is not None
    assert (splits.validation, splits.test, splits.key) == (0.2, 0.1, ("user",))
    assert Record.from_json(record.to_json()) == record


def test_without_a_split_all_rows_train() -> None:
    assert splits_of(Split(none=True)) is None
    assert observed(spec(split=Split(none=True))).data["data"].splits is None


def test_a_tolerance_made_no_number() -> None:
    strict = observed(spec(), tolerance=Tolerance())
    assert strict.digest == observed(spec()).digest
    assert changes(strict, observed(spec())) == ()


def test_code_of_users_is_recorded_with_what_feeds_it(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text("def main(run): ...\n")
    job = spec(recipe="", bundle=Bundle(digest=digest("a"), entry_point="train:main"), parameters={"any": [1]})
    record = observed(job, bundle=tmp_path)
    paths = {file.path for file in record.code.files}
    assert {"train.py", "platform/services/trainer/data/splits.py"} <= paths
    assert (record.recipe, record.parameters, record.tolerance) == ("", {"any": [1]}, Tolerance())


@pytest.mark.parametrize(("cpus", "threads"), [(0.5, 1), (1, 1), (2.9, 2)])
def test_whole_cpus_are_threads(cpus: float, threads: int) -> None:
    assert plan_of(spec(resources=Resources(cpus=cpus))) == Plan(seed=7, threads=threads, strict=True)


def test_users_code_is_warned_where_ours_ends() -> None:
    job = spec(recipe="", bundle=Bundle(digest=digest("a"), entry_point="train:main"), parameters={})
    assert not plan_of(job).strict
