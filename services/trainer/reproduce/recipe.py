"""What a job may ask of "reproduce"."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from services.trainer.recipes.recipe import Parameters, Place, Recipe


class Reproduction(Parameters):
    """The version that is made again."""

    version: str = Field(
        pattern=r"^[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?@[1-9][0-9]{0,9}$", description="model@number, as in digits@3"
    )


def _materials(parameters: Reproduction) -> Sequence[str]:
    return (parameters.version,)


RECIPE = Recipe(
    "reproduce",
    "A version made again from its record, and how it compares",
    f"{__package__}.job:main",
    Reproduction,
    Place.ALONE,
    most_workers=1,
    sources=(),
    materials=_materials,
)
