"""A gateway before two nodes, and a monitor that leads, for the tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.gateway import Platform
from tests.support.monitor import Monitor, behave, place_behaving

MODEL = "lin"


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """The model `lin`, version 1 on blue, version 2 on green."""
    made = Platform(tmp_path_factory.mktemp("monitored"))
    try:
        made.start()
        place_behaving(made, MODEL)
        made.gateway.set_route(MODEL, {1: 90, 2: 10})
        yield made
    finally:
        made.close()


@pytest.fixture(scope="module")
def monitor(platform: Platform) -> Iterator[Monitor]:
    """The one that leads."""
    made = Monitor(platform.folder, platform.consul)
    try:
        made.start().lead()
        yield made
    finally:
        made.process.kill()


@pytest.fixture(autouse=True)
def _well_behaved(request: pytest.FixtureRequest) -> Iterator[None]:
    """Each test begins with models that do nothing wrong and the usual weights."""
    yield
    if "platform" in request.fixturenames:
        platform: Platform = request.getfixturevalue("platform")
        behave(platform, MODEL, {})
        if platform.gateway.process.alive:
            platform.gateway.set_route(MODEL, {1: 90, 2: 10})
