"""The plan, and that the same plan gives the same numbers."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import threadpoolctl
from pydantic import ValidationError

from services.trainer.reproduce.determinism import MODULES, Plan, Step, apply, initial_environment, late


@pytest.fixture(autouse=True)
def _unchanged(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """This process as it was: other tests run in it too."""
    monkeypatch.setattr(os, "environ", os.environ.copy())
    states = random.getstate(), np.random.get_state()
    with threadpoolctl.threadpool_limits(None):
        yield
    random.setstate(states[0])
    np.random.set_state(states[1])


def numbers() -> tuple[float, float]:
    return random.random(), float(np.random.rand())


def test_the_same_seed_gives_the_same_numbers() -> None:
    seen = []
    for seed in (1, 2, 1):
        apply(Plan(seed=seed), load=("numpy",), started_with={})
        seen.append(numbers())
    assert seen[0] == seen[2] != seen[1]


def test_a_worker_that_was_started_right_lacks_nothing_of_it() -> None:
    plan = Plan(seed=3, threads=1)
    found = apply(plan, load=("numpy", "threadpoolctl"), started_with=plan.environment)
    assert [each for each in found.unmet if not each.startswith("torch.")] == []
    assert {"random.seed(3)", "numpy.random.seed(3)", "threadpoolctl.threadpool_limits(1)"} <= set(found.done)


def test_threads_are_limited_in_libraries_that_are_loaded() -> None:
    apply(Plan(seed=1, threads=1), load=("numpy",), started_with={})
    assert {pool["num_threads"] for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas"} == {1}


def test_what_came_too_late_is_told() -> None:
    plan = Plan(seed=3)
    started = {**plan.environment, "PYTHONHASHSEED": "4"}
    del started["MKL_CBWR"]
    assert list(late(plan, started)) == [
        "PYTHONHASHSEED had to be 3 when the worker started, but was 4",
        "MKL_CBWR had to be AUTO when the worker started, but was not set",
    ]
    assert not apply(plan, load=(), started_with=started).whole


def test_processes_that_are_started_from_here_inherit_it() -> None:
    plan = Plan(seed=5, threads=2)
    apply(plan, load=(), started_with={})
    assert plan.environment.items() <= dict(os.environ).items()


def test_the_environment_at_the_start_is_not_what_was_changed_since(tmp_path: Path) -> None:
    os.environ["PYTHONHASHSEED"] = "12345"
    assert initial_environment().get("PYTHONHASHSEED") != "12345"
    (tmp_path / "environ").write_bytes(b"A=1\0B=x=y\0\xff=2\0\0")
    assert initial_environment(tmp_path / "environ") == {"A": "1", "B": "x=y", os.fsdecode(b"\xff"): "2"}
    assert initial_environment(tmp_path / "absent")["PYTHONHASHSEED"] == "12345"


class Called:
    """Stands for a module: notes what is called and set in it."""

    def __init__(self) -> None:
        object.__setattr__(self, "seen", [])

    def __getattr__(self, name: str) -> Any:
        if name in {"backends", "cudnn", "random"}:
            return self
        if name == "set_num_interop_threads":
            raise RuntimeError("cannot set\nafter parallel work has started")
        return lambda *given, **named: self.seen.append((name, given, named))

    def __setattr__(self, name: str, value: object) -> None:
        self.seen.append((name, value))


@pytest.mark.parametrize("strict", [True, False])
def test_torch_is_told_everything_and_what_it_refuses_is_told(monkeypatch: pytest.MonkeyPatch, strict: bool) -> None:
    torch = Called()
    monkeypatch.setitem(__import__("sys").modules, "torch", torch)
    plan = Plan(seed=9, threads=2, strict=strict)
    found = apply(plan, load=(), started_with=plan.environment)
    assert torch.seen == [
        ("manual_seed", (9,), {}),
        ("set_num_threads", (2,), {}),
        ("use_deterministic_algorithms", (True,), {"warn_only": not strict}),
        ("set_float32_matmul_precision", ("highest",), {}),
        ("deterministic", True),
        ("benchmark", False),
    ]
    assert found.unmet == ("torch.set_num_interop_threads(1) failed: cannot set after parallel work has started",)


def test_modules_of_the_plan_are_those_that_are_loaded() -> None:
    assert {step.module for step in Plan(seed=0).steps} == {"random", *MODULES}
    assert str(Step("torch", "use", (True,), warn_only=False)) == "torch.use(True, warn_only=False)"
    assert str(Step("torch", "backends.cudnn.benchmark", False)) == "torch.backends.cudnn.benchmark = False"


@pytest.mark.parametrize("fields", [{"seed": -1}, {"seed": 2**32}, {"seed": 1, "threads": 0}])
def test_plans_have_bounds(fields: dict[str, int]) -> None:
    with pytest.raises(ValidationError):
        Plan(**fields)  # type: ignore[arg-type]
