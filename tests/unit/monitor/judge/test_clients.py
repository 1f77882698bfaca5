"""Which bad requests count."""

from __future__ import annotations

import json
import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.monitor.judge.clients import LATE_SECONDS, Clients
from services.monitor.judge.eprocess import EProcess

told = st.lists(
    st.tuples(st.sampled_from("abcdef"), st.floats(0, 100), st.booleans(), st.sampled_from([0.1, 0.4])), max_size=60
)


def random_route(clients: Clients, client: str, time: float) -> float | None:
    return clients.chance(client, time, candidate=True, share=0.1, sticky=False)


def sticky_route(clients: Clients, client: str, candidate: bool, share: float) -> float | None:
    return clients.chance(client, 0.0, candidate, share, sticky=True)


def test_a_burst_of_one_client_counts_once_and_others_beside_it() -> None:
    clients = Clients(1.0)
    counted = [random_route(clients, "a", 0.01 * n) is not None for n in range(50)]
    assert counted == [True] + [False] * 49
    assert random_route(clients, "b", 0.2) == 0.1


def test_a_client_that_always_fails_counts_once_a_window() -> None:
    clients = Clients(1.0)
    counted = sum(random_route(clients, "a", n / 10) is not None for n in range(100))
    assert counted == 10


def test_events_out_of_order_find_their_window() -> None:
    clients = Clients(1.0)
    assert random_route(clients, "a", 50.0) is not None
    assert random_route(clients, "a", 49.5) is None
    assert random_route(clients, "a", 40.0) is not None


def test_quiet_clients_are_forgotten_and_failing_ones_kept() -> None:
    clients = Clients(1.0, capacity=3)
    for number in range(40):
        random_route(clients, "always", number / 100)
        random_route(clients, f"once-{number}", number / 100)
    assert "always" in clients.counted
    assert len(clients.counted) == 3
    random_route(clients, "later", 1 + 2 * LATE_SECONDS)
    assert list(clients.counted) == ["later"]


def test_a_sticky_client_counts_once_while_weights_stay() -> None:
    clients = Clients(1.0)
    assert sticky_route(clients, "a", True, 0.1) == 0.1
    assert [sticky_route(clients, "a", True, 0.1) for _ in range(5)] == [None] * 5
    assert sticky_route(clients, "b", False, 0.1) == 0.1
    assert [sticky_route(clients, "b", False, 0.1) for _ in range(5)] == [None] * 5


def test_after_a_change_of_weights_only_clients_that_may_have_moved_tell_something() -> None:
    clients = Clients(1.0)
    sticky_route(clients, "new", True, 0.1)
    sticky_route(clients, "old", False, 0.1)
    assert sticky_route(clients, "new", True, 0.4) is None, "it certainly stayed"
    assert sticky_route(clients, "old", False, 0.4) == pytest.approx(0.3 / 0.9)
    assert sticky_route(clients, "old", False, 0.2) is None, "it was not even among more of them"
    assert sticky_route(clients, "old", True, 0.7) == pytest.approx(0.3 / 0.6)
    assert sticky_route(clients, "old", True, 0.9) is None


def test_a_sticky_client_where_it_cannot_be_begins_anew() -> None:
    clients = Clients(1.0)
    sticky_route(clients, "a", True, 0.1)
    assert sticky_route(clients, "a", False, 0.1) is None
    assert clients.places["a"] == (0.1, 1.0)


def test_clients_that_always_fail_do_not_roll_back_a_good_version_over_steps() -> None:
    """Sticky, one client that fails at every version, weights that rise: evidence stays a fair bet."""
    dice, steps, means = random.Random(3), (0.01, 0.05, 0.25, 0.5), Counter[float]()
    releases = 3000
    for _ in range(releases):
        place, clients, process = dice.random(), Clients(1.0), EProcess.begin()
        for share in steps:
            for _ in range(3):
                chance = sticky_route(clients, "a", place < share, share)
                if chance is not None:
                    process.observe(place < share, chance)
            means[share] += process.evidence / releases
    assert all(mean < 1.3 for mean in means.values()), means


@given(told, st.booleans())
def test_comes_back_from_json_as_it_was(told: list[tuple[str, float, bool, float]], sticky: bool) -> None:
    clients = Clients(1.0, capacity=4)
    for client, time, candidate, share in told:
        clients.chance(client, time, candidate, share, sticky)
    again = Clients.load(json.loads(json.dumps(clients.dump())))
    assert again == clients
    assert list(again.counted) == list(clients.counted)
    assert len(clients.counted) <= 4
    assert len(clients.places) <= 4
