"""All recipes by name."""

from __future__ import annotations

import difflib

from services.kit.errors import InvalidArgument, Violation
from services.trainer.imports.recipe import RECIPE as IMPORT
from services.trainer.recipes.ensemble.recipe import RECIPE as ENSEMBLE
from services.trainer.recipes.images.recipe import RECIPE as IMAGES
from services.trainer.recipes.language.recipe import RECIPE as LANGUAGE
from services.trainer.recipes.recipe import Recipe
from services.trainer.recipes.recommendation.recipe import RECIPE as RECOMMENDATION
from services.trainer.recipes.tabular.recipe import RECIPE as TABULAR
from services.trainer.recipes.text.recipe import RECIPE as TEXT
from services.trainer.reproduce.recipe import RECIPE as REPRODUCE

_ALL: tuple[Recipe, ...] = (
    ENSEMBLE,
    IMAGES,
    IMPORT,
    LANGUAGE,
    RECOMMENDATION,
    REPRODUCE,
    TABULAR,
    TEXT,
)
RECIPES = {recipe.name: recipe for recipe in _ALL}


def by_name(name: str) -> Recipe:
    """InvalidArgument, with the nearest names, when there is none of this name."""
    if name in RECIPES:
        return RECIPES[name]
    near = difflib.get_close_matches(name, RECIPES, n=1)
    advice = f"did you mean {near[0]}?" if near else f"there are: {', '.join(sorted(RECIPES))}"
    raise InvalidArgument([Violation("job.recipe", f"there is no recipe {name!r}; {advice}")])
