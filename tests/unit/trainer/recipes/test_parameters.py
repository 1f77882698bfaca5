"""What may be asked of recipes, and what is refused before anything is trained."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from services.kit.errors import InvalidArgument
from services.trainer.recipes.catalogue import RECIPES, by_name
from services.trainer.recipes.schedule import warm_cosine
from services.trainer.recipes.stopping import Best

ROOT = Path(__file__).parents[4]
HEAVY = ("torch", "ray", "sklearn", "xgboost", "lightgbm", "onnx", "transformers", "skl2onnx")


def test_the_catalogue_imports_nothing_heavy() -> None:
    code = f"import services.trainer.recipes.catalogue, sys; print([m for m in {HEAVY} if m in sys.modules])"
    path = {"PYTHONPATH": f"{ROOT / 'sdk'}:{ROOT}"}
    told = subprocess.run([sys.executable, "-c", code], env=path, capture_output=True, check=True, text=True)
    assert told.stdout.strip() == "[]"


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_main_names_a_module_that_is_there(name: str) -> None:
    module, _, function = by_name(name).main.partition(":")
    path = ROOT / f"{module.replace('.', '/')}.py"
    assert f"def {function}(run" in path.read_text("utf-8")


@pytest.mark.parametrize(
    ("recipe", "given", "words"),
    [
        ("image-classification", {"epochs": 0}, "greater than or equal to 1"),
        ("image-classification", {"epoch": 3}, "is not known here; there are: image, label"),
        ("image-classification", {"shape": [28, 0]}, "greater than or equal to 1"),
        ("tabular", {}, "required"),
        ("tabular", {"target": "y", "features": ["x", "y"]}, "one of the features"),
        ("tabular", {"target": "y", "library": "xgboost", "estimator": "forest"}, "forest is of sklearn"),
        ("tabular", {"target": "y", "learning_rate": 0}, "greater than 0"),
    ],
)
def test_parameters_that_cannot_be(recipe: str, given: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        by_name(recipe).check(given)
    assert words in str(refused.value.violations)


def test_a_name_that_is_not_there() -> None:
    with pytest.raises(InvalidArgument, match="did you mean image-classification"):
        by_name("image-clasification")


def test_the_rate_rises_and_falls() -> None:
    rates = [warm_cosine(step, 100) for step in range(100)]
    assert rates[0] == 0.1
    assert rates[9] == rates[10] == max(rates) == 1.0
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert 0.01 <= rates[-1] < 0.02
    assert warm_cosine(500, 100) == pytest.approx(0.01)


def test_it_stops_after_patience_and_keeps_what_was_best() -> None:
    best = Best(2)
    told = []
    for loss in (1.0, 0.5, float("nan"), 0.6):
        assert not best.over
        told.append(best.better(loss))
    assert told == [True, True, False, False]
    assert best.over
    again = Best(2)
    again.load(best.state())
    assert (again.loss, again.waited, again.over) == (0.5, 2, True)
    assert not Best(0).over
