"""Who had what, as numbers."""

from __future__ import annotations

import numpy as np
import pytest

from services.kit.errors import InvalidArgument
from services.trainer.recipes.recommendation.interactions import UNKNOWN, Interactions, check_cells, had, ids_of


def test_ids_are_numbered_in_order_and_strangers_get_the_number_of_nobody() -> None:
    users = ids_of(np.array([30, 10, 20, 10]), "user", first=1)
    assert users.numbers(np.array([10, 20, 30, 5, 99])).tolist() == [1, 2, 3, UNKNOWN, UNKNOWN]
    assert not users.texts


def test_texts_are_ids_as_well() -> None:
    items = ids_of(np.array(["b", "a", "b"], object), "item")
    assert items.texts
    assert items.numbers(np.array(["a", "b"], object)).tolist() == [0, 1]


def test_fractions_are_no_ids() -> None:
    with pytest.raises(InvalidArgument, match="column user holds float64"):
        ids_of(np.array([1.5]), "user")


def test_what_users_had_is_a_table_and_nobody_had_nothing() -> None:
    rows = Interactions(np.array([1, 2, UNKNOWN]), np.array([0, 1, 2]), np.ones(3, np.float32))
    assert had(rows, 3, 3).tolist() == [[False] * 3, [True, False, False], [False, True, False]]


def test_a_table_that_is_too_large_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="set mask to false"):
        check_cells(1_000_000, 1_000)
