"""What an ensemble is asked to be."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from services.trainer.recipes.recipe import Parameters, Place, Recipe

MOST_MEMBERS = 32
_MEMBER = re.compile(r"[a-z0-9][a-z0-9._-]*@[a-z0-9][a-z0-9-]*")


class EnsembleParameters(Parameters):
    """The members, and the held-out rows that weigh them. Members must not have been trained on those rows."""

    members: tuple[str, ...] = Field(
        min_length=2, max_length=MOST_MEMBERS, description="model@version each, by number or alias; they are ONNX"
    )
    target: str = Field(min_length=1, description="column with the truth")
    task: Literal["classification", "regression"] = "classification"
    inputs: dict[str, str | tuple[str, ...]] = Field(
        default_factory=dict,
        description="tensor of a member -> column that feeds it, or several side by side; else those that its version "
        "says it was trained on, else the one of its name",
    )
    output: str = Field("", description="tensor to average; if empty, each member's first of fractions")
    outputs: dict[str, str] = Field(
        default_factory=dict, description="member -> tensor to average, where they are called differently"
    )
    logits: tuple[str, ...] | Literal["all"] = Field(
        (), description="members whose outputs are logits, or all: they become probabilities before the average"
    )
    classes: tuple[str, ...] = Field(
        (),
        description="values of the target in the order of the outputs, unless they are the numbers from 0 on, or the "
        "members' versions say them",
    )
    group: str = Field("", description="column: rows with an equal value are one observation (a user's, a patient's)")
    tune_on: Literal["validation", "all"] = Field(
        "validation", description="all: the rows of train too, where no member was trained on any of these data"
    )
    method: Literal["onnx", "triton"] = Field(
        "onnx", description="one merged file; or the members side by side, run by Triton's Python backend"
    )
    force: bool = Field(
        False, description="make the version whatever the verdict and whatever members were trained on, and record that"
    )
    confidence: float = Field(0.95, ge=0.5, le=0.9999)
    min_gain: float = Field(
        0.0, ge=0, allow_inf_nan=False, description="what it has to gain for the cost of running all, in the loss"
    )
    batch: int = Field(256, ge=1, le=65_536, description="rows at a time")

    @field_validator("members")
    @classmethod
    def _named(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value:
            if _MEMBER.fullmatch(name) is None:
                raise ValueError(f"{name!r} is not MODEL@VERSION, for example digits@3 or digits@stable")
        if len(set(value)) < len(value):
            raise ValueError("names a member twice")
        return value

    @model_validator(mode="after")
    def _about_members(self) -> Self:
        for field, named in (("outputs", set(self.outputs)), ("logits", set(self.logits_of(self.members)))):
            if strange := sorted(named - set(self.members)):
                raise ValueError(f"{field} names {strange[0]!r}, which is none of the members")
        if self.classes and self.task == "regression":
            raise ValueError("classes are those of a classification")
        return self

    def logits_of(self, members: Sequence[str]) -> tuple[str, ...]:
        """The members whose outputs are logits."""
        return tuple(members) if self.logits == "all" else self.logits


def _members(parameters: Any) -> Sequence[str]:
    return tuple(parameters.members)


RECIPE = Recipe(
    name="ensemble",
    title="Several versions as one, weighed on held-out rows",
    main="services.trainer.recipes.ensemble.train:main",
    parameters=EnsembleParameters,
    place=Place.ALONE,
    most_workers=1,
    materials=_members,
)
