"""Versions of one model under live traffic: beside each other, shifted, pinned, taken away; not one request fails."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest
from bmase.core.routes import Override, RouteSpec, Sticky
from bmase.errors import BmaseError

from tests.support.catalogue import Catalogue
from tests.support.load import Load
from tests.support.suite import Suite

FIRST, SECOND = (2.0, 1.0), (3.0, -1.0)


def test_a_version_is_deployed_takes_a_share_takes_all_goes_back_and_leaves(suite: Suite, catalogue: Catalogue) -> None:
    model = "whole-life"
    first = catalogue.serve(suite, model, *FIRST)
    with Load(suite.address, model, {first: FIRST, first + 1: SECOND}) as load:
        second = catalogue.serve(suite, model, *SECOND)
        assert load.versions()[second] == 0, "a later deployment must get no traffic by itself"
        share = _share(load, suite, model, {first: 90, second: 10}, second)
        assert abs(share - 0.1) < 5 * math.sqrt(0.1 * 0.9 / 1000)
        _switch(load, suite, model, second)
        _switch(load, suite, model, first)
        suite.client.undeploy(model, second, timeout=60)
        load.wait_for(200)
    load.assert_no_failures()
    assert [d.version for d in suite.client.deployments.list(model)] == [first]


def _share(load: Load, suite: Suite, model: str, weights: dict[int, int], of: int) -> float:
    suite.client.routes.set_weights(model, weights)
    begun = time.monotonic()
    load.wait_until(lambda: load.versions(begun).total() >= 1000, "1,000 answers under the new weights", 40)
    counted = load.versions(begun)
    return counted[of] / counted.total()


def _switch(load: Load, suite: Suite, model: str, to: int) -> None:
    suite.client.routes.set_weights(model, {to: 1})
    begun = time.monotonic()
    load.wait_until(lambda: load.versions(begun).total() >= 200, "200 answers after the switch")
    assert set(load.versions(begun + 1.0)) <= {to}, "an old answer a second after the switch"


def test_a_version_with_traffic_is_not_undeployed_unless_forced(suite: Suite, catalogue: Catalogue) -> None:
    version = catalogue.serve(suite, "kept", *FIRST)
    with pytest.raises(BmaseError) as refused:
        suite.client.undeploy("kept", version)
    assert refused.value.reason == "VERSION_IN_ROUTE"
    suite.client.undeploy("kept", version, force=True, timeout=60)
    assert list(suite.client.deployments.list("kept")) == []


def test_an_explicit_version_and_a_header_override_the_weights(suite: Suite, catalogue: Catalogue) -> None:
    first = catalogue.serve(suite, "pinned", *FIRST)
    second = catalogue.serve(suite, "pinned", *SECOND)
    suite.client.routes.set("pinned", RouteSpec({first: 1, second: 0}, overrides=[Override("x-tester", second, "yes")]))
    x = {"x": np.ones((1, 4), np.float32)}
    assert suite.client.infer("pinned", x)["y"][0, 0] == pytest.approx(3.0)
    assert suite.client.infer("pinned", x, second)["y"][0, 0] == pytest.approx(2.0)
    assert suite.client.infer("pinned", x, headers={"x-tester": "yes"})["y"][0, 0] == pytest.approx(2.0)
    assert suite.client.infer("pinned", x, first, headers={"x-tester": "yes"})["y"][0, 0] == pytest.approx(3.0)
    assert suite.client.infer("pinned", x, headers={"x-tester": "no"})["y"][0, 0] == pytest.approx(3.0)


def test_sticky_requests_stay_and_only_some_move_when_weights_grow(suite: Suite, catalogue: Catalogue) -> None:
    first = catalogue.serve(suite, "sticky", *FIRST)
    second = catalogue.serve(suite, "sticky", *SECOND)

    def placed(weights: dict[int, int]) -> dict[str, int]:
        suite.client.routes.set("sticky", RouteSpec(weights, sticky=Sticky("x-user")))
        return {user: _version(suite, "sticky", user) for user in (f"user-{n}" for n in range(100))}

    before, again = placed({first: 80, second: 20}), placed({first: 80, second: 20})
    assert before == again
    after = placed({first: 50, second: 50})
    moved_back = [user for user in before if before[user] == second and after[user] == first]
    assert moved_back == [], "a user of the growing version was moved away from it"
    assert 30 <= sum(version == second for version in after.values()) <= 70


def _version(suite: Suite, model: str, user: str) -> int:
    answer = suite.client.infer(model, {"x": np.ones((1, 4), np.float32)}, headers={"x-user": user})
    return int(answer.model_version)


def test_two_replicas_share_the_load_and_scaling_down_loses_nothing(suite: Suite, catalogue: Catalogue) -> None:
    version = catalogue.serve(suite, "scaled", *FIRST, replicas=2)
    deployed = suite.client.deployments.get("scaled", version)
    assert {p.node for p in deployed.placements} == set(suite.nodes)
    with Load(suite.address, "scaled", {version: FIRST}) as load:
        load.wait_for(100)
        suite.client.deployments.scale("scaled", version, 1)
        suite.until(lambda: len(suite.client.deployments.get("scaled", version).placements) == 1, "one placement", 60)
        load.wait_for(200)
    load.assert_no_failures()


def test_two_versions_of_a_model_never_share_a_node(suite: Suite, catalogue: Catalogue) -> None:
    first = catalogue.serve(suite, "apart", *FIRST)
    second = catalogue.serve(suite, "apart", *SECOND)
    nodes = [suite.client.deployments.get("apart", v).placements[0].node for v in (first, second)]
    assert len(set(nodes)) == 2
    third = catalogue.push(suite, "apart", 5.0, 5.0)
    waiting = suite.client.deploy("apart", third, wait=False)
    suite.until(
        lambda: suite.client.deployments.get("apart", third).reason == "NO_CAPACITY",
        "a third version waiting for a node",
    )
    assert suite.client.deployments.get("apart", waiting.version).message
    suite.client.undeploy("apart", third, timeout=60)
