from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from services.patcher.placement import Demand, Room, place

NAMES = ["blue", "green", "red", "white"]
rooms = st.lists(
    st.builds(
        Room,
        name=st.sampled_from(NAMES),
        pool=st.sampled_from(["cpu", "gpu"]),
        capacity_bytes=st.integers(0, 10),
        open=st.booleans(),
        gone=st.booleans(),
    ),
    unique_by=lambda room: room.name,
)
demands = st.lists(
    st.builds(
        Demand,
        model=st.sampled_from(["a", "b"]),
        version=st.integers(1, 3),
        replicas=st.integers(0, 4),
        pool=st.sampled_from(["", "cpu", "gpu"]),
        memory_bytes=st.integers(0, 6),
    ),
    unique_by=lambda demand: (demand.model, demand.version),
)


def carried_out(asked: list[Demand], found: list[Room]) -> list[Demand]:
    verdicts = place(asked, found)
    return [
        Demand(
            d.model, d.version, d.replicas, d.pool, d.backend, d.memory_bytes,
            running=(*(set(d.running) - set(v.remove)), *v.add), serving=frozenset(d.running) | frozenset(v.add),
        )
        for d in asked
        for v in [verdicts[d.model, d.version]]
    ]  # fmt: skip


@given(demands, rooms)
def test_walls_hold_whatever_is_asked(asked: list[Demand], found: list[Room]) -> None:
    by_name = {room.name: room for room in found}
    placed = carried_out(asked, found)
    for name, room in by_name.items():
        here = [d for d in placed if name in d.running]
        assert len({d.model for d in here}) == len(here), "two versions of one model on a node"
        assert sum(d.memory_bytes for d in here) <= room.capacity_bytes or not here
        assert not here or room.open
        assert all(d.pool in ("", room.pool) for d in here)
    assert all(len(set(d.running)) == len(d.running) <= d.replicas for d in placed)


@given(demands, rooms)
def test_what_was_placed_stays(asked: list[Demand], found: list[Room]) -> None:
    steady = [Room(r.name, r.pool, r.capacity_bytes, r.backends, r.open) for r in found]
    placed = carried_out(asked, steady)
    again = place(placed, steady)
    assert all(not verdict.add and not verdict.remove for verdict in again.values())


@given(demands, rooms)
def test_words_exactly_where_replicas_are_missing(asked: list[Demand], found: list[Room]) -> None:
    for verdict in place(asked, found).values():
        assert bool(verdict.missing) == bool(verdict.why)


def test_spreads_by_free_share_and_then_by_name() -> None:
    nodes = [Room("blue", capacity_bytes=10), Room("green", capacity_bytes=20)]
    asked = [Demand("a", 1, 1, memory_bytes=4), Demand("b", 1, 1, memory_bytes=4), Demand("c", 1, 1, memory_bytes=4)]
    verdicts = place(asked, nodes)
    assert [verdicts[name, 1].add for name in "abc"] == [("blue",), ("green",), ("green",)]


def test_what_is_leaving_keeps_its_seat_and_its_memory() -> None:
    node = Room("blue", capacity_bytes=10)
    leaving = Demand("a", 1, 0, memory_bytes=8, leaving=("blue",))
    verdicts = place([leaving, Demand("a", 2, 1), Demand("b", 1, 1, memory_bytes=4)], [node])
    assert "another version" in verdicts["a", 2].why
    assert "memory" in verdicts["b", 1].why


def test_what_is_told_to_leave_keeps_its_memory_until_it_is_out() -> None:
    node = Room("blue", capacity_bytes=10)
    waiting = Demand("b", 1, 1, memory_bytes=4)
    told = place([Demand("a", 1, 0, memory_bytes=8, running=("blue",)), waiting], [node])
    assert told["a", 1].remove == ("blue",)
    assert "memory" in told["b", 1].why, "promised in the very round in which the other one is told"
    leaving = place([Demand("a", 1, 0, memory_bytes=8, leaving=("blue",)), waiting], [node])
    assert "memory" in leaving["b", 1].why
    assert place([waiting], [node])["b", 1].add == ("blue",)


def test_a_returned_node_makes_its_replacement_surplus() -> None:
    nodes = [Room("blue", capacity_bytes=10), Room("green", capacity_bytes=20)]
    both = Demand("a", 1, 1, running=("blue", "green"), serving=frozenset({"blue"}))
    assert place([both], nodes)["a", 1].remove == ("green",)


def test_a_node_that_was_never_seen_again_keeps_what_it_has() -> None:
    assert place([Demand("a", 1, 1, running=("blue",))], [])["a", 1].remove == ()
