"""Weights: proportions kept, sums constant, stale keys impossible, sticky clients move only when they must."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from services.gateway.envoy.snapshot import TOTAL_WEIGHT, ModelRoute, Target
from services.gateway.envoy.weights import moved, normalise, overrides

weights = st.lists(st.integers(0, 1_000_000), min_size=1, max_size=16)


@given(weights)
def test_the_sum_is_constant_and_nothing_vanishes(asked: list[int]) -> None:
    made = normalise(asked)
    assert sum(made) == (TOTAL_WEIGHT if any(asked) else 0)
    assert [bool(w) for w in made] == [bool(w) for w in asked]


@given(weights.filter(any))
def test_shares_are_exact_to_a_millionth_per_version(asked: list[int]) -> None:
    made = normalise(asked)
    for before, after in zip(asked, made, strict=True):
        assert abs(after - before * TOTAL_WEIGHT / sum(asked)) <= len(asked)


def test_equal_proportions_are_equal_weights() -> None:
    assert normalise([9, 1]) == normalise([90, 10]) == normalise([900_000, 100_000]) == (899_985, 99_998)


def test_a_share_of_requests_is_drawn_independently_of_the_version() -> None:
    """Envoy uses one random number a request for both; see TOTAL_WEIGHT."""
    numbers = random.Random(1)
    sampled = [(10_000 * numbers.getrandbits(50) + 50) % TOTAL_WEIGHT for _ in range(200_000)]
    last = TOTAL_WEIGHT - normalise([999, 1])[1]
    assert 0.0007 < sum(number >= last for number in sampled) / len(sampled) < 0.0013


@given(st.integers(0, 100), st.integers(0, 100), st.integers(0, TOTAL_WEIGHT - 1))
def test_a_growing_version_keeps_the_clients_it_has(before: int, after: int, hashed: int) -> None:
    low, high = sorted((before, after))

    def chosen(second: int) -> int:
        first, _ = normalise([100 - second, second]) if 0 < second < 100 else (0 if second else TOTAL_WEIGHT, 0)
        return 1 if hashed < first else 2

    assert not (chosen(low) == 2 and chosen(high) == 1)


def route(first: int, second: int, nodes: str = "blue") -> ModelRoute:
    return ModelRoute("m", (Target(1, (nodes,)), Target(2, ("green",))), normalise([first, second]))


def test_only_weights_that_moved_are_written() -> None:
    written = {"m": route(90, 10)}
    assert moved({"m": route(9, 1)}, written, ["m"]) == set()
    assert moved({"m": route(50, 50)}, written, ["m", "gone"]) == {"m"}
    keys = overrides({"m": route(50, 50)}, ["m"])
    assert sorted(keys.values()) == [499_991, 499_991, 499_992, 499_992]
    assert {key.rsplit(".", 1)[1] for key in keys} == {
        "nodes:blue",
        "nodes:green",
        "nodes:blue:http",
        "nodes:green:http",
    }


def test_weights_for_another_list_of_versions_have_other_keys() -> None:
    here, elsewhere = route(50, 50), route(50, 50, nodes="red")
    assert moved({"m": elsewhere}, {"m": route(90, 10)}, ["m"]) == set()
    prefixes = [{key.rsplit(".", 1)[0] for key, _ in r.runtime_weights} for r in (here, elsewhere)]
    assert prefixes[0].isdisjoint(prefixes[1])
