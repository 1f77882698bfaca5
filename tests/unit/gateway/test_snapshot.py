"""A snapshot that contradicts itself is not published."""

from __future__ import annotations

import dataclasses

import pytest

from services.gateway.envoy.snapshot import (
    TOTAL_WEIGHT,
    Endpoint,
    Mirror,
    ModelRoute,
    Node,
    Override,
    Snapshot,
    SnapshotError,
    Target,
    cluster_name,
)

BLUE, GREEN = (Node(name, Endpoint("127.0.0.1", port)) for name, port in (("blue", 1), ("green", 2)))
NODES = {"blue": BLUE, "green": GREEN}
GOOD = ModelRoute("m", (Target(1, ("blue",)), Target(2, ("green",))), (TOTAL_WEIGHT, 0))


def test_a_good_snapshot_names_its_clusters() -> None:
    snapshot = Snapshot({"m": GOOD}, NODES)
    snapshot.check()
    assert snapshot.node_sets == {"nodes:blue": ("blue",), "nodes:green": ("green",)}


@pytest.mark.parametrize(
    ("broken", "why"),
    [
        ({"weights": (TOTAL_WEIGHT,)}, "differ in number"),
        ({"weights": (1, 2)}, "add up"),
        ({"weights": (TOTAL_WEIGHT + 1, -1)}, "negative"),
        ({"targets": (Target(2, ("blue",)), Target(1, ("green",)))}, "order"),
        ({"targets": (Target(1, ("blue",)), Target(2, ("blue",)))}, "same nodes"),
        ({"model": "../etc"}, "name"),
        ({"overrides": (Override("x y", "", 1),)}, "not a header"),
        ({"overrides": (Override("x-user", "", 9),)}, "not placed"),
        ({"mirror": Mirror(9, 5)}, "not placed"),
        ({"mirror": Mirror(1, 0)}, "share"),
    ],
)
def test_contradictions_are_found(broken: dict[str, object], why: str) -> None:
    route = dataclasses.replace(GOOD, **broken)  # type: ignore[arg-type]
    with pytest.raises(SnapshotError, match=why):
        Snapshot({route.model: route}, NODES).check()


def test_a_node_without_an_address_is_found() -> None:
    with pytest.raises(SnapshotError, match="green"):
        Snapshot({"m": GOOD}, {"blue": BLUE}).check()


def test_a_set_of_nodes_is_one_cluster_whatever_the_order() -> None:
    assert cluster_name(("b", "a")) == cluster_name(("a", "b")) == "nodes:a+b"
    many = tuple(f"node-{i}" for i in range(50))
    assert len(cluster_name(many)) < 40
    assert cluster_name(many) != cluster_name(many[1:])


def test_the_structure_depends_on_versions_and_places_but_not_on_weights() -> None:
    assert GOOD.structure == dataclasses.replace(GOOD, weights=(0, TOTAL_WEIGHT)).structure
    moved = dataclasses.replace(GOOD, targets=(Target(1, ("green",)), Target(2, ("blue",))))
    assert GOOD.structure != moved.structure
