"""What both models answered is only a verdict where the original answered something."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from bmase.reasons import Reason

from services.kit.errors import DomainError
from services.trainer.imports import verdict
from services.trainer.imports.compare import Tolerance
from services.trainer.imports.hostile import Answered, Asked, Report


def _answered(name: str, value: float, output: str) -> Answered:
    probes = [Asked(name=f"batch of {rows}", inputs={"x": "a0"}, outputs={output: name}) for rows in (1, 7)]
    arrays = {"a0": np.zeros((1, 4), np.float32), name: np.full((1, 2), value, np.float32)}
    return Answered(report=Report(probes=probes), folder=Path(), arrays=arrays)


def _differences(value: float) -> list[float]:
    def ask(questions: Sequence[Asked]) -> Answered:
        return _answered("b0", value, "y")

    return [
        each.rel for each in verdict.differences(_answered("a1", value, "0"), ask, Tolerance(rtol=1e-4, atol=1e-6), ())
    ]


def test_equal_numbers_do_not_differ() -> None:
    assert _differences(0.5) == [0.0, 0.0]


def test_two_models_that_both_give_no_numbers_are_not_shown_to_be_the_same() -> None:
    with pytest.raises(DomainError, match="no numbers to compare for y") as refused:
        _differences(float("nan"))
    assert refused.value.reason is Reason.CONVERSION_FAILED
    assert "examples" in refused.value.hint
