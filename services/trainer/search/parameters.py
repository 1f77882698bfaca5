"""A recipe's parameters as its code is given them, in a job that searches for some of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from services.trainer.recipes.recipe import Parameters, Recipe
from services.trainer.search.wish import KEY, take


def checked(recipe: Recipe, given: Mapping[str, Any]) -> tuple[Parameters, dict[str, Any]]:
    """The parameters, and what the code is given: all of them with their defaults, and the search if there is one.

    What is searched has in the first one value of many, and is left out of the second. InvalidArgument names what is
    wrong. The second can be taken apart by `take` where the recipe is not known any more.
    """
    own, wish = take(given, recipe.parameters)
    if wish is None:
        found = recipe.check(own)
        return found, found.model_dump(mode="json")
    found = recipe.check({**own, **{name: entry.samples[0] for name, entry in wish.space.items()}})
    plain = {name: value for name, value in found.model_dump(mode="json").items() if name not in wish.space}
    return found, {**plain, KEY: wish.model_dump(mode="json")}
