"""Everything is killed, or stopped, and started again: the same models, versions, deployments, weights and answers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.support.catalogue import Catalogue
from tests.support.suite import Suite


def _state(suite: Suite) -> dict[str, Any]:
    """All that a user can see, without what may change (times, who serves at the moment)."""
    client = suite.client
    return {
        "models": {m.name: dict(m.aliases) for m in client.models.list()},
        "versions": {v.name: (v.digest, [f.digest for f in v.files]) for v in client.versions.list()},
        "deployments": {
            d.name: (d.state, d.replicas, sorted(p.node for p in d.placements)) for d in client.deployments.list()
        },
        "routes": {r.name: {v.version: v.weight for v in r.versions} for r in client.routes.list()},
    }


def _answers(suite: Suite, model: str, versions: tuple[int, ...]) -> list[float]:
    x = {"x": np.ones((1, 4), np.float32)}
    return [float(suite.client.infer(model, x, version)["y"][0, 0]) for version in versions]


@pytest.fixture
def filled(own_suite: Suite, catalogue: Catalogue) -> tuple[Suite, tuple[int, int]]:
    """Two versions of a model with weights and an alias, and one with two replicas."""
    if not any(m.name == "models/remembered" for m in own_suite.client.models.list()):
        versions = catalogue.serve(own_suite, "remembered", 2, 1), catalogue.serve(own_suite, "remembered", 3, 0)
        own_suite.client.routes.set_weights("remembered", {versions[0]: 75, versions[1]: 25})
        own_suite.client.models.set_alias("remembered", "stable", versions[0])
        catalogue.serve(own_suite, "everywhere", 5, 5, replicas=2)
    return own_suite, (1, 2)


@pytest.mark.parametrize("how", ["killed", "stopped"])
def test_it_comes_back_as_it_was(filled: tuple[Suite, tuple[int, int]], how: str) -> None:
    suite, versions = filled
    before = _state(suite)
    assert _answers(suite, "remembered", versions) == [3.0, 3.0]
    suite.close()
    if how == "killed":
        suite.kill_everything()
    else:
        suite.down()
    suite.up()
    assert _state(suite) == before
    assert _answers(suite, "remembered", versions) == [3.0, 3.0]
    assert _answers(suite, "everywhere", (1,)) == [10.0]


def test_after_it_came_back_work_goes_on(filled: tuple[Suite, tuple[int, int]], catalogue: Catalogue) -> None:
    suite, _ = filled
    suite.kill_everything()
    suite.close()
    suite.up()
    version = catalogue.serve(suite, "newcomer", 7, 0)
    assert _answers(suite, "newcomer", (version,)) == [7.0]
    suite.client.undeploy("remembered", 2, force=True, timeout=60)
    assert [d.version for d in suite.client.deployments.list("remembered")] == [1]
