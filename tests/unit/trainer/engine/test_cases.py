"""Truth from columns: which class a value means."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from bmase.training import Product

from services.kit.errors import InvalidArgument
from services.trainer.engine.cases import cases


def labels(values: list[object], classes: tuple[str, ...]) -> list[int]:
    product = Product(Path(), task="classification", inputs={"x": "x"}, target="label", classes=classes)
    column = np.array(values)
    rows = {"x": np.zeros(len(column)), "label": column.astype(object) if column.dtype.kind == "U" else column}
    return list(cases(product, rows).truth["labels"])


@pytest.mark.parametrize(
    ("values", "classes", "places"),
    [
        ([2, 0], (), [2, 0]),
        ([1, 0], ("0", "1"), [1, 0]),
        ([7, 3], ("3", "7"), [1, 0]),
        ([1.0, 0.0], (), [1, 0]),
        ([7.0, 3.0], ("3", "7"), [1, 0]),
        (["sky", "grass"], ("grass", "sky"), [1, 0]),
        ([1, 0], ("grass", "sky"), [1, 0]),
    ],
)
def test_a_value_is_a_name_or_a_place(values: list[object], classes: tuple[str, ...], places: list[int]) -> None:
    assert labels(values, classes) == places


@pytest.mark.parametrize(
    ("values", "classes"), [(["sea"], ("grass", "sky")), ([3, 5], ("3", "7")), (["a"], ()), ([0.5], ())]
)
def test_what_the_model_does_not_know_is_refused(values: list[object], classes: tuple[str, ...]) -> None:
    with pytest.raises(InvalidArgument, match="does not know"):
        labels(values, classes)
