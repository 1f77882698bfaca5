"""When two answers agree, and what a replay says of its count."""

from __future__ import annotations

import numpy as np
import pytest

from services.monitor.oip import Tensor, Tensors
from services.monitor.replay.compare import disagree
from services.monitor.replay.tally import Round, Tally
from tests.support.inference import digit


def numbers(*values: float, name: str = "y", dtype: object = np.float32) -> Tensors:
    return {name: Tensor("FP32", np.array([values], dtype))}  # type: ignore[call-overload]


@pytest.mark.parametrize(
    ("left", "right", "differ"),
    [
        ({"p": Tensor("FP32", digit(7))}, {"p": Tensor("FP32", digit(7) * 0.9)}, False),
        ({"p": Tensor("FP32", digit(7))}, {"p": Tensor("FP32", digit(3))}, True),
        (numbers(100.0), numbers(100.05), False),
        (numbers(100.0), numbers(100.2), True),
        (numbers(1.0, 1e-9), numbers(1.0, 3e-9), False),
        (numbers(-3.0), numbers(3.0), True),
        (numbers(np.nan, np.inf), numbers(np.nan, np.inf), False),
        (numbers(np.inf), numbers(-np.inf), True),
        (numbers(np.inf), numbers(1.0), True),
        (numbers(1.0), numbers(np.nan), True),
        (numbers(1.0), numbers(1.0, 1.0), True),
        (numbers(1.0), numbers(1.0, name="z"), True),
        (numbers(1.0), {}, True),
        ({}, numbers(1.0), False),
    ],
)
def test_labels_decide_and_numbers_where_there_are_none(left: Tensors, right: Tensors, differ: bool) -> None:
    assert disagree(left, right, 0.001) is differ


def test_a_named_output_is_the_label() -> None:
    assert disagree(numbers(0.2, 9.0, 1.0), numbers(0.2, 5.0, 1.0), 0.001)
    assert not disagree(numbers(0.2, 9.0, 1.0), numbers(0.2, 5.0, 1.0), 0.001, label_output="y")


def one(**change: object) -> Round:
    found: dict[str, object] = {"stable_failed": False, "candidate_failed": False, "disagreed": False, **change}
    return Round("r", 1.0, 2.0, **found)  # type: ignore[arg-type]


def test_a_tally_keeps_failures_apart() -> None:
    tally = Tally(100)
    for _ in range(90):
        tally.add(one())
    for change in ("stable_failed", "candidate_failed", "disagreed"):
        tally.add(one(**{change: True}))
    said = tally.message()
    assert (said.done, said.disagreed, said.candidate_failed, said.stable_failed) == (93, 1, 1, 1)
    assert (said.stable_p50_ms, said.candidate_p99_ms) == (1.0, 2.0)
    assert 0 < said.disagreement_low < 1 / 91 < said.disagreement_high < 0.2
    assert list(said.examples) == ["r"]


def test_nothing_compared_says_nothing() -> None:
    said = Tally(0).message()
    assert (said.disagreement_low, said.disagreement_high) == (0.0, 1.0)
