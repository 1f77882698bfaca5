"""What the code of a recipe is given in a job that searches."""

from __future__ import annotations

import pytest
from pydantic import Field

from services.kit.errors import InvalidArgument
from services.trainer.recipes.recipe import Parameters, Recipe
from services.trainer.search import Range, take
from services.trainer.search.parameters import checked


class Toy(Parameters):
    rate: float = Field(gt=0)
    width: int = 8
    epochs: int = 10


RECIPE = Recipe("toy", "", "toy:main", Toy)
SEARCH = {"space": {"rate": {"low": 1, "high": 10}}, "budget": {"epochs": 1}}


def test_without_a_search_it_is_what_the_recipe_says() -> None:
    found, plain = checked(RECIPE, {"rate": 1})
    assert found == Toy(rate=1)
    assert plain == {"rate": 1.0, "width": 8, "epochs": 10}


def test_a_search_keeps_the_defaults_and_what_it_knows_of_types() -> None:
    found, plain = checked(RECIPE, {"width": 16, "search": SEARCH})
    assert found == Toy(rate=1, width=16)
    own, wish = take(plain)
    assert own == {"width": 16, "epochs": 10}
    assert wish is not None
    assert wish.of_trial({"rate": 2.0}) == {"width": 16, "epochs": 1, "rate": 2.0}
    entry = wish.space["rate"]
    assert isinstance(entry, Range)
    assert not entry.whole, "1 and 10 are ends of a float"


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"width": 8}, 'job.parameters["rate"]'),
        ({"widht": 8, "search": SEARCH}, 'job.parameters["widht"]'),
        ({"search": {"space": {"rate": {"low": 0, "high": 1}}}}, 'job.parameters["search"].space.rate'),
    ],
)
def test_what_is_wrong_is_named(given: dict[str, object], field: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        checked(RECIPE, given)
    assert [violation.field for violation in caught.value.violations] == [field]
