"""Everything that only decides may die: predictions go on, and what died picks its work up again."""

from __future__ import annotations

import shutil
import time

import pytest

from tests.support.catalogue import Catalogue
from tests.support.load import Load
from tests.support.suite import Suite

NUMBERS, LATER = (2.0, 1.0), (4.0, 4.0)


@pytest.mark.parametrize(
    "program", ["gateway", "registry", "patcher", "monitor", "consul", "agent-blue", "agent-green"]
)
def test_killed_it_comes_back_and_no_inference_fails(own_suite: Suite, catalogue: Catalogue, program: str) -> None:
    model = f"without-{program}"
    version = catalogue.serve(own_suite, model, *NUMBERS, replicas=2)
    with Load(own_suite.address, model, {version: NUMBERS}) as load:
        killed = own_suite.kill(program)
        took = own_suite.until(lambda: own_suite.pid(program) not in (0, killed), f"{program} restarted", 10)
        load.wait_for(300)
        own_suite.until_ready()
        assert took < 3, f"{program} was restarted only after {took:.1f} s"
        load.wait_for(300)
    load.assert_no_failures()
    _everything_works(own_suite, catalogue, f"after-{program}")


@pytest.mark.parametrize(
    "programs", [("gateway",), ("registry",), ("consul",), ("gateway", "registry", "patcher", "consul")]
)
def test_gone_for_a_while_no_inference_fails(own_suite: Suite, catalogue: Catalogue, programs: tuple[str, ...]) -> None:
    model = f"gone-{'-'.join(programs)}"
    version = catalogue.serve(own_suite, model, *NUMBERS)
    with Load(own_suite.address, model, {version: NUMBERS}) as load:
        own_suite.stop(*programs)
        gone = time.monotonic()
        load.wait_until(lambda: time.monotonic() > gone + 8, "eight seconds")
        assert load.since(gone), "no traffic while it was gone"
        own_suite.start(*programs)
        own_suite.until_ready(timeout=60)
        load.wait_for(300)
    load.assert_no_failures()
    _everything_works(own_suite, catalogue, f"again-{'-'.join(programs)}")


def test_a_wiped_consul_is_filled_again_and_takes_nothing_out_of_service(
    own_suite: Suite, catalogue: Catalogue
) -> None:
    first = catalogue.serve(own_suite, "wiped", *NUMBERS)
    second = catalogue.serve(own_suite, "wiped", *LATER)
    own_suite.client.routes.set_weights("wiped", {first: 30, second: 70})
    with Load(own_suite.address, "wiped", {first: NUMBERS, second: LATER}) as load:
        own_suite.stop("consul")
        shutil.rmtree(own_suite.place.data("consul"))
        own_suite.start("consul")
        own_suite.until_ready(timeout=60)
        own_suite.until(lambda: all(n.alive for n in own_suite.client.nodes.list()), "all nodes known again", 60)
        load.wait_for(500)
        weights = {v.version: v.weight for v in own_suite.client.routes.get("wiped").versions}
        assert weights == {first: 30, second: 70}
        own_suite.client.routes.set_weights("wiped", {first: 1})
        load.wait_for(300)
    load.assert_no_failures()
    _everything_works(own_suite, catalogue, "after-wipe")


def test_envoy_itself_restarts_with_the_same_routes(own_suite: Suite, catalogue: Catalogue) -> None:
    first = catalogue.serve(own_suite, "listener", *NUMBERS)
    second = catalogue.serve(own_suite, "listener", *LATER)
    own_suite.client.routes.set_weights("listener", {second: 1})
    own_suite.stop("gateway")  # the control cannot help
    own_suite.kill("envoy")
    own_suite.until_ready("envoy")
    with Load(own_suite.address, "listener", {first: NUMBERS, second: LATER}) as load:
        load.wait_for(200)
    load.assert_no_failures()
    assert set(load.versions()) == {second}
    own_suite.start("gateway")
    own_suite.until_ready()


def _everything_works(suite: Suite, catalogue: Catalogue, model: str) -> None:
    """A whole life of a model, to prove that what came back does its work."""
    version = catalogue.serve(suite, model, *NUMBERS)
    with Load(suite.address, model, {version: NUMBERS}) as load:
        load.wait_for(20)
    load.assert_no_failures()
    suite.client.undeploy(model, version, force=True, timeout=60)
