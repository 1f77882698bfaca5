"""A serving node dies or hangs: other models do not notice, and it comes back with what it had."""

from __future__ import annotations

import os
import signal
import time

from tests.support.catalogue import Catalogue
from tests.support.load import Load
from tests.support.suite import Suite

NUMBERS = (2.0, 1.0)
BACK_SECONDS = 15.0
OUT_SECONDS = 10.0


def _node(suite: Suite, model: str, version: int) -> str:
    return str(suite.client.deployments.get(model, version).placements[0].node)


def _one_on_each_node(suite: Suite, catalogue: Catalogue, prefix: str) -> dict[str, tuple[str, int]]:
    """node -> a model that only it serves."""
    found: dict[str, tuple[str, int]] = {}
    for number in range(6):
        model = f"{prefix}-{number}"
        version = catalogue.serve(suite, model, *NUMBERS)
        found.setdefault(_node(suite, model, version), (model, version))
        if len(found) == len(suite.nodes):
            return found
    raise AssertionError(f"all models were placed on {list(found)}")


def test_a_killed_triton_leaves_other_models_alone_and_is_back_with_its_own(
    own_suite: Suite, catalogue: Catalogue
) -> None:
    on = _one_on_each_node(own_suite, catalogue, "killed")
    (victim, victim_version), (other, other_version) = on["blue"], on["green"]
    with (
        Load(own_suite.address, other, {other_version: NUMBERS}) as spared,
        Load(own_suite.address, victim, {victim_version: NUMBERS}) as hit,
    ):
        killed = time.monotonic()
        own_suite.kill("triton-blue")
        hit.wait_until(lambda: _good_again(hit, killed), "the model served again", 30)
        back = next(a.done for a in hit.since(killed + 0.2) if a.status == "OK" and _steady(hit, a.sent)) - killed
        spared.wait_for(200)
        hit.wait_for(200)
    spared.assert_no_failures()
    assert back < BACK_SECONDS, f"back only after {back:.1f} s"
    assert {a.status for a in hit.failures} <= {"UNAVAILABLE"}, hit.summary()


def _good_again(load: Load, killed: float) -> bool:
    """Fifty right answers in a row, after at least one that was not or two seconds of peace."""
    last = load.since(killed)[-50:]
    calm = bool(load.failures) or time.monotonic() > killed + 2
    return calm and len(last) == 50 and all(a.status == "OK" for a in last)


def _steady(load: Load, since: float) -> bool:
    return all(a.status == "OK" for a in load.since(since))


def test_with_a_replica_a_killed_triton_costs_no_request_that_can_be_retried(
    own_suite: Suite, catalogue: Catalogue
) -> None:
    version = catalogue.serve(own_suite, "spread", *NUMBERS, replicas=2)
    with Load(own_suite.address, "spread", {version: NUMBERS}) as load:
        killed = time.monotonic()
        own_suite.kill("triton-green")
        load.wait_until(lambda: time.monotonic() > killed + 5, "five seconds")
        own_suite.until_ready("triton-green")
        load.wait_for(300)
    # A request that was inside the dead process cannot be known not to have run: at most one a client.
    assert len(load.failures) <= load.clients, load.summary()
    late = [a for a in load.failures if a.sent > killed + 1]
    assert late == [], f"failures long after the death: {late[:3]}"


def test_a_frozen_triton_is_out_of_rotation_soon_and_back_when_it_thaws(own_suite: Suite, catalogue: Catalogue) -> None:
    on = _one_on_each_node(own_suite, catalogue, "frozen")
    other, other_version = on["green"]
    version = catalogue.serve(own_suite, "half-frozen", *NUMBERS, replicas=2)
    with (
        Load(own_suite.address, other, {other_version: NUMBERS}) as spared,
        Load(own_suite.address, "half-frozen", {version: NUMBERS}) as load,
    ):
        pid = own_suite.signal("triton-blue", signal.SIGSTOP)
        frozen = time.monotonic()
        try:
            load.wait_until(lambda: time.monotonic() > frozen + OUT_SECONDS + 5, "fifteen seconds", 30)
        finally:
            os.kill(pid, signal.SIGCONT)
        load.wait_for(300)
        own_suite.until_ready()
    spared.assert_no_failures()
    late = [a for a in load.failures if a.sent > frozen + OUT_SECONDS]
    assert late == [], f"still routed to the frozen node: {late[:3]}"


def test_undeploy_beside_a_dead_node_does_not_hang_for_ever(own_suite: Suite, catalogue: Catalogue) -> None:
    version = catalogue.serve(own_suite, "leaving", *NUMBERS, replicas=2)
    own_suite.stop("triton-blue")
    try:
        own_suite.client.deployments.delete("leaving", version, force=True)
    finally:
        own_suite.start("triton-blue")
    own_suite.until(lambda: list(own_suite.client.deployments.list("leaving")) == [], "the deployment gone", 60)
