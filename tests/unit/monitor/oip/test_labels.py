"""The label of an answer: where it is taken from, and when there is none."""

from __future__ import annotations

import numpy as np
import pytest

from services.monitor.oip import Tensor, label_of
from tests.support.inference import digit


def text(array: np.ndarray, name: str = "y", wanted: str = "") -> str | None:
    datatype = "BYTES" if array.dtype == object else "any"
    found = label_of({name: Tensor(datatype, array)}, wanted)
    return found.text if found else None


@pytest.mark.parametrize(
    ("array", "label"),
    [
        (digit(7), "7"),
        (np.concatenate([digit(7), digit(2)]), "7,2"),
        (np.array([[3]], np.int64), "3"),
        (np.array([3, 4], np.int64), "3,4"),
        (np.array([[b"cat"]], object), "cat"),
        (np.array([[True]]), "1"),
        (np.array([[0.25]], np.float32), None),  # a number is no label
        (np.array([[0.25, 3.5]], np.float32), None),  # an embedding, for all that is known
        (np.empty((0, 10), np.float32), None),
    ],
)
def test_a_guess_takes_only_what_looks_like_classes(array: np.ndarray, label: str | None) -> None:
    assert text(array) == label


def test_the_named_output_is_taken_whatever_it_looks_like() -> None:
    assert text(np.array([[0.25, 3.5]], np.float32), wanted="y") == "1"
    assert text(np.array([[0.25]], np.float32), wanted="y") == "0.25"
    assert text(digit(7), wanted="other") is None


def test_names_help_where_values_do_not() -> None:
    assert text(np.array([[-4.0, 9.0, 2.0]], np.float32), name="logits") == "1"


def test_classes_go_before_probabilities() -> None:
    found = label_of({"p": Tensor("FP32", digit(7)), "digit": Tensor("INT64", np.array([[5]]))})
    assert found is not None
    assert (found.output, found.text) == ("digit", "5")


def test_nan_is_never_the_largest() -> None:
    array = np.array([[np.nan, 0.2, 0.8]], np.float32)
    assert text(array, wanted="y") == "2"
