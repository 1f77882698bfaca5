from __future__ import annotations

from pathlib import Path

import pytest
import typer
from bmase.cli import imports
from bmase.core.jobs import State  # the contract loads

from services.trainer.recipes.catalogue import by_name


def test_options_are_parameters_that_the_recipe_takes() -> None:
    given = imports.parameters(
        "state-dict", 1e-3, None, "net:build", ["image=float32[-1,3,8,8]", "flag=bool"], ["not a number"]
    )
    taken = by_name("import").check(given)
    assert taken.model_dump(include={"format", "rtol", "atol", "module", "unjudged"}) == {
        "format": "state-dict", "rtol": 1e-3, "atol": None, "module": "net:build", "unjudged": ("not a number",),
    }  # fmt: skip
    assert {name: (each.dtype, each.shape) for name, each in taken.inputs.items()} == {
        "image": ("float32", (-1, 3, 8, 8)), "flag": ("bool", (-1, 1)),
    }  # fmt: skip


def test_without_options_there_are_no_parameters() -> None:
    assert imports.parameters("", None, None, "", None, None) == {}


@pytest.mark.parametrize("wrong", ["x", "x=", "=float32[1]", "x=float32[1", "x=float32[a]", "x=float32[1.5]"])
def test_an_input_that_is_none_is_refused(wrong: str) -> None:
    with pytest.raises(typer.BadParameter, match="NAME=DTYPE"):
        imports.parameters("", None, None, "", [wrong], None)


def test_the_job(tmp_path: Path) -> None:
    model, rows = tmp_path / "m.onnx", tmp_path / "rows.npz"
    made = imports.job("digits", [str(model)], examples=rows, parameters={"rtol": 0.5}, seed=3)
    assert (made.model, made.recipe, made.seed) == ("models/digits", "import", 3)
    assert {source.name: list(source.uris) for source in made.data} == {
        "data": [model.as_uri()], "examples": [rows.as_uri()],
    }  # fmt: skip
    assert made.parameters["rtol"].number_value == 0.5
    assert made.state == State.STATE_UNSPECIFIED
