"""What a search is asked to do: taken apart from a job's parameters, every mistake named by its field."""

from __future__ import annotations

import subprocess
import sys
from typing import Any, Literal

import pytest
from pydantic import Field

from services.kit.errors import InvalidArgument
from services.trainer.recipes.recipe import Parameters
from services.trainer.search import Choices, Range, take


class Toy(Parameters):
    rate: float = Field(0.1, gt=0, le=100)
    width: int = Field(8, ge=4, le=512, multiple_of=4)
    depth: int | None = Field(None, ge=1)
    kind: Literal["ddp", "fsdp"] = "ddp"
    flip: bool = False
    epochs: int = Field(10, ge=1)


def refused(search: Any, own: dict[str, Any] | None = None, model: type[Parameters] | None = Toy) -> dict[str, str]:
    with pytest.raises(InvalidArgument) as caught:
        take({**(own or {}), "search": search}, model)
    return {violation.field: violation.description for violation in caught.value.violations}


def test_a_job_without_a_search_has_its_parameters() -> None:
    assert take({"rate": 1}, Toy) == ({"rate": 1}, None)


def test_a_search_is_taken_out_and_trials_have_the_budget_and_the_best_have_not() -> None:
    space = {"rate": {"low": 1e-3, "high": 1, "log": True}, "kind": {"choices": ["ddp", "fsdp"]}}
    own, wish = take({"width": 16, "search": {"space": space, "trials": 5, "budget": {"epochs": 2}}}, Toy)
    assert own == {"width": 16}
    assert wish is not None
    assert (wish.trials, wish.metric, wish.direction) == (5, "val_loss", "minimize")
    assert wish.of_trial({"rate": 0.5}) == {"width": 16, "epochs": 2, "rate": 0.5}
    assert wish.of_best({"rate": 0.5}) == {"width": 16, "rate": 0.5}


@pytest.mark.parametrize(
    ("name", "entry", "whole"),
    [
        ("rate", {"low": 1, "high": 10}, False),  # JSON has lost that these were 1.0 and 10.0
        ("rate", {"low": 1, "high": 10, "type": "int"}, True),
        ("width", {"low": 8, "high": 64, "step": 8}, True),
        ("depth", {"low": 1, "high": 3}, True),
    ],
)
def test_the_recipe_says_whether_numbers_are_whole(name: str, entry: dict[str, Any], whole: bool) -> None:
    _, wish = take({"search": {"space": {name: entry}}}, Toy)
    assert wish is not None
    found = wish.space[name]
    assert isinstance(found, Range)
    assert found.whole is whole
    assert {type(value) for value in found.samples} == {int if whole else float}


def test_without_a_recipe_what_is_given_says_it() -> None:
    _, wish = take({"search": {"space": {"a": {"low": 1, "high": 3}, "b": {"low": 1, "high": 3, "type": "float"}}}})
    assert wish is not None
    assert [entry.whole for entry in wish.space.values() if isinstance(entry, Range)] == [True, False]


S = 'job.parameters["search"]'


@pytest.mark.parametrize(
    ("search", "field", "words"),
    [
        (7, S, "must be an object"),
        ({}, f"{S}.space", "valid dictionary"),
        ({"space": {}}, f"{S}.space", "at least 1"),
        ({"space": {"rte": {"low": 0.1, "high": 1}}}, f"{S}.space.rte", "is no parameter; there are: rate"),
        ({"space": {"rate": {"low": 2, "high": 1}}}, f"{S}.space.rate", "low 2 is above high 1"),
        ({"space": {"rate": {"low": 0, "high": 1, "log": True}}}, f"{S}.space.rate", "log needs a low above 0"),
        ({"space": {"rate": {"low": 0, "high": 1}}}, f"{S}.space.rate", "0.0 is refused"),
        ({"space": {"rate": {"low": "0.1", "high": 1}}}, f"{S}.space.rate.low", "valid"),
        ({"space": {"rate": {"low": True, "high": 1}}}, f"{S}.space.rate.low", "valid"),
        ({"space": {"rate": {"low": 1, "high": 2, "setp": 1}}}, f"{S}.space.rate.setp", "is not known here"),
        ({"space": {"rate": {"low": 1}}}, f"{S}.space.rate.high", "required"),
        ({"space": {"width": {"low": 8, "high": 64}}}, f"{S}.space.width", "9 is refused"),
        ({"space": {"width": {"low": 8.5, "high": 64}}}, f"{S}.space.width", "whole numbers"),
        ({"space": {"width": {"low": 8, "high": 1024, "step": 8}}}, f"{S}.space.width", "1024 is refused"),
        ({"space": {"flip": {"low": 0, "high": 1}}}, f"{S}.space.flip", "is no number: give choices"),
        ({"space": {"kind": {"choices": ["ddp", "zero"]}}}, f"{S}.space.kind", "'zero' is refused"),
        ({"space": {"kind": {"choices": []}}}, f"{S}.space.kind.choices", "at least 1"),
        ({"space": {"kind": {"choices": ["ddp", "ddp"]}}}, f"{S}.space.kind", "two choices are the same"),
        ({"space": {"kind": {"choices": ["ddp"]}}, "trials": 0}, f"{S}.trials", "greater than or equal to 1"),
        ({"space": {"kind": {"choices": ["ddp"]}}, "metric": "a b"}, f"{S}.metric", "pattern"),
        ({"space": {"kind": {"choices": ["ddp"]}}, "direction": "up"}, f"{S}.direction", "minimize"),
        ({"space": {"kind": {"choices": ["ddp"]}}, "own": {}}, f"{S}.own", "is not known here"),
        ({"space": {"kind": {"choices": ["ddp"]}}, "budget": {"epoch": 1}}, f"{S}.budget.epoch", "is no parameter"),
        ({"space": {"kind": {"choices": ["ddp"]}}, "budget": {"epochs": 0}}, f"{S}.budget.epochs", "0 is refused"),
        ({"space": {"epochs": {"low": 1, "high": 2}}, "budget": {"epochs": 1}}, S, "in the space and in the budget"),
    ],
)
def test_what_is_wrong_is_named(search: Any, field: str, words: str) -> None:
    found = refused(search)
    assert list(found) == [field]
    assert words in found[field]


def test_what_is_given_is_not_searched() -> None:
    found = refused({"space": {"rate": {"low": 0.1, "high": 1}}}, {"rate": 1})
    assert found == {'job.parameters["rate"]': "is given and searched: leave out one"}


def test_several_mistakes_are_told_at_once() -> None:
    space = {"kind": {"choices": ["x"]}, "nothing": {"choices": [1]}}
    assert set(refused({"space": space})) == {f"{S}.space.kind", f"{S}.space.nothing"}


def test_choices_may_be_of_any_kind() -> None:
    _, wish = take({"search": {"space": {"layers": {"choices": [[64], [64, 32], None]}}}})
    assert wish is not None
    assert wish.space["layers"] == Choices(choices=([64], [64, 32], None))


def test_what_checks_jobs_loads_nothing_heavy() -> None:
    script = "import sys, services.trainer.search; print([m for m in ('optuna', 'torch', 'numpy') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
