"""Decisions of the control loop, without an Envoy."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from services.gateway.control import MOST_EXPLAINED, Control, culprits
from services.gateway.documents import NodeDocument
from services.gateway.durable import Durable
from services.gateway.envoy import files
from services.gateway.envoy.clusters import node_sets_in
from services.gateway.envoy.configuration import Configuration
from services.gateway.envoy.listener import Files
from services.gateway.envoy.snapshot import Endpoint, ModelRoute, Node, Snapshot, Target
from services.gateway.world import World
from services.kit.consul.model import Entry


def routes(count: int) -> list[ModelRoute]:
    return [ModelRoute(f"m{i}", (), (), routed=False) for i in range(count)]


class Judge:
    """Refuses what holds one of the bad models."""

    def __init__(self, bad: set[str]) -> None:
        self.bad = bad
        self.asked = 0

    async def __call__(self, group: Sequence[ModelRoute]) -> str | None:
        self.asked += 1
        return "no" if self.bad & {route.model for route in group} else ""


async def test_the_bad_ones_are_found_wherever_they_stand() -> None:
    judge = Judge({"m7", "m999"})
    assert await culprits(routes(1_000), judge) == {"m7": "no", "m999": "no"}
    assert judge.asked < 60


async def test_the_search_ends_when_very_many_are_bad() -> None:
    found = await culprits(routes(100), Judge({f"m{i}" for i in range(100)}))
    assert found is not None
    assert len(found) == MOST_EXPLAINED


async def test_nobody_is_blamed_when_nobody_can_be_asked() -> None:
    async def mute(group: Sequence[ModelRoute]) -> str | None:
        return None

    assert await culprits(routes(3), mute) is None


class Served:
    """A publisher whose Envoy does what it was told last."""

    def __init__(self) -> None:
        self.baked: dict[str, ModelRoute] = {}

    def in_effect(self, model: str, route: ModelRoute | None) -> bool:
        return self.baked.get(model) == route


async def test_a_change_that_was_replaced_before_it_was_published_counts_as_done(tmp_path: Path) -> None:
    world, served = World(), Served()
    for name in ("blue", "green"):
        world.see_node(NodeDocument(name=name, grpc="127.0.0.1:1"))
    waiting: Any = served
    control = Control(world, waiting, Durable(tmp_path / "s"), Judge(set()))
    place(world, 5, '{"revision":1,"versions":{"1":["blue"]}}')
    done = asyncio.create_task(control.in_effect("m"))
    await asyncio.sleep(0)
    place(world, 6, '{"revision":2,"versions":{"1":["blue","green"]}}')
    served.baked = dict(world.models())
    await control.news.tell()
    async with asyncio.timeout(2):
        await done


def place(world: World, index: int, document: str) -> None:
    world.see_placement("m", index, Entry("bmase/placements/m", document.encode(), index))


def test_clusters_that_an_earlier_process_left_stay_as_they_are(tmp_path: Path) -> None:
    """Names of large sets are digests: nothing but the file itself says which nodes they are."""
    names = ("ip-10-0-1-23.example.internal", "ip-10-0-1-24.example.internal")
    nodes = {name: Node(name, Endpoint("127.0.0.1", 1), Endpoint("127.0.0.1", 2)) for name in names}
    made = Configuration("gw", *(Endpoint("127.0.0.1", port) for port in (1, 2, 3)), Files(tmp_path))
    target = Target(1, names)
    before = made.clusters({target.cluster: names}, Snapshot(nodes=nodes))
    files.write(before.path, before.data)
    left = node_sets_in(before.path)
    assert {cluster["name"] for cluster in left[target.cluster]} == {target.cluster, f"{target.cluster}:http"}
    after = made.clusters({}, Snapshot(), [cluster for two in left.values() for cluster in two])
    assert target.cluster.encode() in after.data
    assert made.clusters({}, Snapshot()).version != after.version
