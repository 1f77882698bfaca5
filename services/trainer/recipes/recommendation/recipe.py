"""What a job may ask of recommendation."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from services.trainer.recipes.recipe import Parameters, Recipe


class Recommendation(Parameters):
    """A row says that a user had an item; with a rating, from `relevant_from` on it also says that it was liked."""

    user: str = Field("user", min_length=1, description="column, also the name of the input: whole numbers or texts")
    item: str = Field("item", min_length=1, description="column: whole numbers or texts")
    rating: str = Field("", description="column with numbers; empty: a row by itself says that the item was liked")
    relevant_from: float | None = Field(None, description="the least rating of what was liked; without: every row was")
    objective: Literal["softmax", "bpr", "rating"] = Field(
        "softmax",
        description="softmax: the item among all; bpr: before items drawn at random; rating: the squared error of it",
    )
    dimensions: int = Field(64, ge=1, le=4096, description="of the vectors of users and items")
    epochs: int = Field(20, ge=1, le=10_000)
    batch: int = Field(512, ge=1, le=1_000_000, description="rows a step, of all workers together")
    learning_rate: float = Field(3e-3, gt=0, le=10, description="at its highest")
    warm: float = Field(0.05, ge=0, lt=1, description="share of all steps in which the rate rises")
    weight_decay: float = Field(1e-2, ge=0, le=10)
    dropout: float = Field(0.3, ge=0, lt=1, description="of the users' vectors")
    negatives: int = Field(8, ge=1, le=1000, description="items drawn for each row, with bpr")
    patience: int = Field(4, ge=0, le=1000, description="epochs without a better val_ndcg@10 before it stops; 0: never")
    mask: bool = Field(True, description="what a user is known to have had is never recommended")


RECIPE = Recipe(
    name="recommendation",
    title="Recommendation: matrix factorisation with biases",
    main="services.trainer.recipes.recommendation.train:main",
    parameters=Recommendation,
)
