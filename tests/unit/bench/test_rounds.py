"""Nobody has the better place when targets take turns."""

from __future__ import annotations

from collections import Counter

import pytest

from bench.support.rounds import order


@pytest.mark.parametrize("targets", [("a", "b"), ("a", "b", "c"), ("a", "b", "c", "d")])
def test_everybody_has_every_place_equally_often(targets: tuple[str, ...]) -> None:
    rounds = [order(targets, number) for number in range(2 * len(targets))]
    for place in range(len(targets)):
        assert set(Counter(round[place] for round in rounds).values()) == {2}
