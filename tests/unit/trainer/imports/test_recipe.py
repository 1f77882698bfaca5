from __future__ import annotations

import pytest

from services.kit.errors import InvalidArgument
from services.trainer.imports.recipe import ImportParameters
from services.trainer.recipes.catalogue import by_name


def test_parameters_travel_to_the_job_as_json() -> None:
    given = {"inputs": {"x": {"shape": [-1, 8], "high": 5}}, "batches": [1, 3], "unjudged": ["large"], "format": "pt2"}
    taken = by_name("import").check(given)
    assert ImportParameters.model_validate(taken.model_dump(mode="json")) == taken


@pytest.mark.parametrize(
    "wrong",
    [
        {"format": "pickle"},
        {"module": "os.system"},
        {"module": "../net:build"},
        {"inputs": {"x": {"shape": [-1, 0]}}},
        {"inputs": {"x": {"dtype": "object"}}},
        {"batches": []},
        {"unjudged": ["everything"]},
        {"task": "a task"},
        {"seconds": 0},
        {"unknown": 1},
    ],
)
def test_what_it_does_not_know_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(InvalidArgument):
        by_name("import").check(wrong)


def test_its_data_have_no_rows_and_it_runs_alone() -> None:
    recipe = by_name("import")
    assert (recipe.place, recipe.files, recipe.sources) == ("alone", ("data",), ("data",))


def test_a_format_that_is_none_is_answered_with_those_that_there_are() -> None:
    with pytest.raises(InvalidArgument) as refused:
        by_name("import").check({"format": "pickle"})
    assert "'sklearn', 'xgboost'" in refused.value.violations[0].description
