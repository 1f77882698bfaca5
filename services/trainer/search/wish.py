"""What a search is asked to do, checked against the parameters of the recipe. Light: nothing heavy is imported.

A job says it among its parameters, under `search`; what is not searched keeps its value or default:

    {"batch": 64, "search": {
        "space": {"lr": {"low": 1e-4, "high": 1e-1, "log": true}, "layers": {"choices": [1, 2]},
                  "width": {"low": 8, "high": 64, "step": 8}},
        "trials": 20, "metric": "val_loss", "direction": "minimize", "budget": {"epochs": 2}}}
"""

from __future__ import annotations

import json
import math
import types
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, StrictInt, ValidationError, model_validator

from services.kit.errors import InvalidArgument, Violation

KEY = "search"
MAX_TRIALS, MAX_NAMES, MAX_CHOICES = 1000, 50, 100
_FIELD = f'job.parameters["{KEY}"]'

Number = StrictInt | Annotated[float, Field(strict=True, allow_inf_nan=False)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Range(_Part):
    """Numbers from `low` to `high`, both included; `log`: small ones as often as large ones.

    `type` "int": only whole numbers. Where it is not said, the recipe's parameter says it; for a user's own code
    numbers are whole when all that is given here is whole.
    """

    low: Number
    high: Number
    step: Number | None = None
    log: bool = False
    type: Literal["int", "float"] | None = None

    @model_validator(mode="after")
    def _makes_sense(self) -> Range:
        if self.low > self.high:
            raise ValueError(f"low {self.low} is above high {self.high}")
        if self.log and self.low <= 0:
            raise ValueError("log needs a low above 0")
        if self.log and self.step is not None:
            raise ValueError("has either log or a step")
        if self.step is not None and self.step <= 0:
            raise ValueError("step must be above 0")
        if self.type == "int" and not all(_whole(value) for value in (self.low, self.high, self.step)):
            raise ValueError("is of whole numbers: so must be low, high and step")
        return self

    @property
    def whole(self) -> bool:
        """Whether its values are whole numbers."""
        return self.type == "int" or (self.type is None and all(_whole(v) for v in (self.low, self.high, self.step)))

    @property
    def samples(self) -> tuple[int | float, ...]:
        """Values that stand for all: the ends and the ones beside."""
        step = self.step or (1 if self.whole else 0)
        beside = [self.low + step, self.high - (self.high - self.low) % step] if step else []
        found = dict.fromkeys([self.low, *beside, *([] if self.step else [self.high])])
        return tuple(int(v) if self.whole else float(v) for v in found if self.low <= v <= self.high)


class Choices(_Part):
    """One of these; of any kind."""

    choices: tuple[Any, ...] = Field(min_length=1, max_length=MAX_CHOICES)

    @model_validator(mode="after")
    def _differ(self) -> Choices:
        if len({json.dumps(choice, sort_keys=True) for choice in self.choices}) != len(self.choices):
            raise ValueError("two choices are the same")
        return self

    @property
    def samples(self) -> tuple[Any, ...]:
        return self.choices


class Wish(_Part):
    """`budget`: parameters that are otherwise while searching, to make trials short."""

    space: dict[str, Range | Choices] = Field(min_length=1, max_length=MAX_NAMES)
    trials: int = Field(20, ge=1, le=MAX_TRIALS)
    metric: str = Field("val_loss", pattern="^[A-Za-z_][A-Za-z0-9_.-]{0,47}$")
    direction: Literal["minimize", "maximize"] = "minimize"
    budget: dict[str, Any] = {}
    own: dict[str, Any] = Field({}, exclude=True)  # the parameters that are not searched

    @model_validator(mode="after")
    def _apart(self) -> Wish:
        if both := sorted(self.space.keys() & self.budget.keys()):
            raise ValueError(f"{both[0]} is in the space and in the budget: leave out one")
        return self

    def of_trial(self, found: Mapping[str, Any]) -> dict[str, Any]:
        """All parameters of a trial with these of the space."""
        return {**self.own, **self.budget, **found}

    def of_best(self, found: Mapping[str, Any]) -> dict[str, Any]:
        """All parameters of the training at the end."""
        return {**self.own, **found}


def take(parameters: Mapping[str, Any], model: type[BaseModel] | None = None) -> tuple[dict[str, Any], Wish | None]:
    """A job's own parameters, and its search if it has one. `model`: of the recipe; None for a user's own code.

    InvalidArgument names every field of the search that is wrong. The own parameters are the recipe's to check.
    """
    own = {name: value for name, value in parameters.items() if name != KEY}
    if KEY not in parameters:
        return own, None
    wish = _parsed(parameters[KEY])
    if both := sorted(wish.space.keys() & own.keys()):
        raise InvalidArgument([Violation(f'job.parameters["{both[0]}"]', "is given and searched: leave out one")])
    if model is not None:
        wish = _typed(wish, model)
        if violations := list(_refused(wish, own, model)):
            raise InvalidArgument(violations)
    return own, wish.model_copy(update={"own": own})


def _parsed(given: Any) -> Wish:
    if not isinstance(given, dict):
        raise InvalidArgument([Violation(_FIELD, "must be an object with at least a space")])
    if "own" in given:
        raise InvalidArgument([Violation(f"{_FIELD}.own", "is not known here")])
    try:
        return Wish.model_validate({**given, "space": _told_apart(given.get("space"))})
    except ValidationError as error:
        found = [_violation(each) for each in error.errors(include_url=False, include_input=False)]
        raise InvalidArgument(found) from None


def _told_apart(space: Any) -> Any:
    """Each entry as what it means to be, so that errors are about that alone."""
    if not isinstance(space, dict):
        return space
    found: dict[str, Any] = {}
    for name, entry in space.items():
        kind = Choices if isinstance(entry, dict) and "choices" in entry else Range
        try:
            found[name] = kind.model_validate(entry)
        except ValidationError as error:
            errors = error.errors(include_url=False, include_input=False)
            raise InvalidArgument([_violation(each, ("space", name)) for each in errors]) from None
    return found


def _violation(error: Any, below: tuple[str, ...] = ()) -> Violation:
    words = error["msg"].removeprefix("Value error, ")
    unknown = error["type"] == "extra_forbidden"
    # Of a union (int or float) the last part of the place is the type that was tried.
    place = [str(part) for part in (*below, *error["loc"]) if "[" not in str(part) and part not in ("int", "float")]
    return Violation(".".join((_FIELD, *place)), "is not known here" if unknown else words)


def _typed(wish: Wish, model: type[BaseModel]) -> Wish:
    """Ranges of the type that the recipe's parameter has: in JSON 1 and 1.0 are the same."""
    space = {
        name: _as(name, entry, _number(model, name)) if isinstance(entry, Range) else entry
        for name, entry in wish.space.items()
    }
    return wish.model_copy(update={"space": space})


def _as(name: str, entry: Range, kind: Literal["int", "float"] | None) -> Range:
    try:
        return Range.model_validate({**entry.model_dump(), "type": "int" if kind == "int" else entry.type or kind})
    except ValidationError as error:
        errors = error.errors(include_url=False, include_input=False)
        raise InvalidArgument([_violation(each, ("space", name)) for each in errors]) from None


def _number(model: type[BaseModel], name: str) -> Literal["int", "float"] | None:
    field = model.model_fields.get(name)
    annotation = field.annotation if field else None
    options = get_args(annotation) if get_origin(annotation) in (Union, types.UnionType) else (annotation,)
    if float in options:
        return "float"
    return "int" if int in options else None


def _refused(wish: Wish, own: Mapping[str, Any], model: type[BaseModel]) -> Iterator[Violation]:
    """What the recipe would refuse: names, and values that stand for all."""
    for name, entry in wish.space.items():
        place = f"{_FIELD}.space.{name}"
        if name not in model.model_fields:
            yield Violation(place, f"is no parameter; there are: {', '.join(model.model_fields)}")
        elif isinstance(entry, Range) and _number(model, name) is None:
            yield Violation(place, "is no number: give choices")
        else:
            yield from (Violation(place, why) for why in _why(model, own, {name: entry.samples}))
    for name, value in wish.budget.items():
        place = f"{_FIELD}.budget.{name}"
        if name not in model.model_fields:
            yield Violation(place, f"is no parameter; there are: {', '.join(model.model_fields)}")
        else:
            yield from (Violation(place, why) for why in _why(model, own, {name: (value,)}))


def _why(model: type[BaseModel], own: Mapping[str, Any], tried: Mapping[str, tuple[Any, ...]]) -> Iterator[str]:
    """The first value that is refused for itself; what several together make wrong shows in the trials."""
    for name, values in tried.items():
        for value in values:
            try:
                model.model_validate({**own, name: value})
            except ValidationError as error:
                said = [each["msg"] for each in error.errors(include_url=False) if each["loc"][:1] == (name,)]
                if said:
                    yield f"{value!r} is refused: {said[0]}"
                    return


def _whole(value: float | None) -> bool:
    return value is None or (math.isfinite(value) and float(value).is_integer() and isinstance(value, int))
