"""What an ensemble is asked to be."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from services.trainer.recipes.recipe import Parameters, Place, Recipe

MOST_MEMBERS = 32
_MEMBER = re.compile(r"[a-z0-9][a-z0-9._-]*@[a-z0-9][a-z0-9-]*")


class EnsembleParameters(Parameters):
    """The members, and the held-out rows that weigh them.

    members     "model@version", by number or alias; their versions are ONNX
    target      the column with the truth
    inputs      tensor of a member -> the column that feeds it, or several side by side; by default that of its name
    output      the tensor to average, for members of which `outputs` says nothing; by default the first of fractions
    outputs     member -> the tensor to average, where they are called differently
    logits      the members (or "all") whose outputs are logits: they become probabilities before the average
    classes     the values of the target in the order of the output, unless they are the numbers from 0 on
    group       a column: rows with an equal value are one observation (one user's, one patient's)
    tune_on     "validation": the rows of that part; "all": those of train too, which no member was trained on
    method      "onnx": one merged file
    force       makes the version whatever the verdict, and records that
    min_gain    in units of the loss: what an ensemble has to gain for the cost of running its members
    """

    members: Annotated[tuple[str, ...], Field(min_length=2, max_length=MOST_MEMBERS)]
    target: Annotated[str, Field(min_length=1)]
    task: Literal["classification", "regression"] = "classification"
    inputs: dict[str, str | tuple[str, ...]] = Field(default_factory=dict)
    output: str = ""
    outputs: dict[str, str] = Field(default_factory=dict)
    logits: tuple[str, ...] | Literal["all"] = ()
    classes: tuple[str, ...] = ()
    group: str = ""
    tune_on: Literal["validation", "all"] = "validation"
    method: Literal["onnx"] = "onnx"
    force: bool = False
    confidence: Annotated[float, Field(ge=0.5, le=0.9999)] = 0.95
    min_gain: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    batch: Annotated[int, Field(ge=1, le=65536)] = 256

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
