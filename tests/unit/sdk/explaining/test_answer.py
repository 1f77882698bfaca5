"""What an explainer answered, as people see it."""

from __future__ import annotations

import json

import numpy as np
import pytest
from bmase.explaining import picture
from bmase.explaining.answer import Explained, read

PNG = b"\x89PNG"


def explained(row: np.ndarray, attributions: np.ndarray, **told: str) -> Explained:
    outputs = {
        "x.attribution": attributions[None].astype(np.float32), "base": np.array([[0.5]]),
        "explained": np.array([[0.5 + attributions.sum()]]), "output_index": np.array([[1]]),
        "version": np.array([[3]]),
    }  # fmt: skip
    return read("digits", outputs, {"x": row[None]}, {"output": "y", **told})[0]


def test_shares_are_told_with_names_and_values_the_largest_first() -> None:
    found = explained(np.array([1.25, 2, 3]), np.array([0.1, -0.7, 0.2]), names=json.dumps({"x": ["a", "b", "c"]}))
    assert [(s.name, s.value) for s in found.shares] == [("b", "2"), ("c", "3"), ("a", "1.25")]
    assert found.gap < 1e-6
    document = found.document()
    assert (document["version"], document["output"], document["output_index"]) == (3, "y", 1)
    assert [round(share["share"], 6) for share in document["shares"]] == [-0.7, 0.2, 0.1]


def test_a_region_is_told_as_one_with_the_sum_of_its_pixels() -> None:
    attributions = np.zeros((8, 8))
    attributions[:4, 4:] = 0.5 / 16
    found = explained(np.ones((8, 8)), attributions, patch="4")
    assert (found.shares[0].name, round(found.shares[0].share, 6), found.shares[0].value) == ("x[0:4, 4:8]", 0.5, "")


def test_what_does_not_sum_up_is_seen() -> None:
    outputs = {"x.attribution": np.ones((1, 2), np.float32), "base": np.zeros((1, 1)), "explained": np.ones((1, 1)),
               "output_index": np.zeros((1, 1)), "version": np.ones((1, 1))}  # fmt: skip
    assert read("m", outputs, {"x": np.zeros((1, 2))}, {})[0].gap == 1.0


@pytest.mark.parametrize("shape", [(3,), (1, 8, 8)])
def test_pictures_and_rows_can_be_drawn(shape: tuple[int, ...]) -> None:
    assert picture.draw(explained(np.ones(shape), np.full(shape, 0.01))).startswith(PNG)
