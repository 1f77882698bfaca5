"""Releases that nobody watches, on the whole suite: what dies, is silent or interferes, and what traffic sees of it."""

from __future__ import annotations

import contextlib
import itertools
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from bmase.errors import BmaseError, NotFound
from bmase.patcher.v1 import release_pb2 as pb

from tests.support import onnx_models
from tests.support.catalogue import Catalogue
from tests.support.load import Load
from tests.support.suite import Suite

OLD, NEW = (2.0, 1.0), (3.0, 5.0)
STEPS = (10, 50, 100)
PATIENCE = 90.0


def policy(seconds: float = 2.0, margin: float = 0.1) -> pb.ReleasePolicy:
    """Quick steps. Latency is not judged: the tests stop and start what shares these cores."""
    made = pb.ReleasePolicy(shadow_samples=-1)
    made.judge.margin = margin
    made.judge.ignore_slow = True
    made.keep.FromTimedelta(timedelta(hours=1))
    for percent in STEPS:
        made.steps.add(percent=percent, min_requests=20).min_time.FromTimedelta(timedelta(seconds=seconds))
    return made


class Weights:
    """The candidate's share as the route has it, each change once, read while the test runs."""

    def __init__(self, suite: Suite, model: str, candidate: int) -> None:
        self._suite, self._model, self._candidate = suite, model, candidate
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.seen: list[float] = []

    def __enter__(self) -> Weights:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join(10)

    def _run(self) -> None:
        while not self._stopping.wait(0.05):
            try:
                weights = {v.version: v.weight for v in self._suite.client.routes.get(self._model).versions}
            except BmaseError:  # the gateway's control is among what is killed
                continue
            share = round(100 * weights.get(self._candidate, 0) / sum(weights.values()), 3)
            if not self.seen or self.seen[-1] != share:
                self.seen.append(share)


@pytest.fixture
def pair(own_suite: Suite, catalogue: Catalogue, request: pytest.FixtureRequest) -> Iterator[tuple[str, int, int]]:
    """A model of this test's own with its stable version deployed: name, stable, candidate."""
    model = f"judged-{next(COUNT)}"
    stable = catalogue.serve(own_suite, model, *OLD)
    candidate = catalogue.push(own_suite, model, *NEW)
    yield model, stable, candidate
    for release in list(own_suite.client.releases.list(model, active=True)):
        own_suite.client.releases.rollback(release.name, "the test is over")
        own_suite.client.releases.wait(release.name, decided=False, timeout=60)
    for deployment in list(own_suite.client.deployments.list(model)):
        with contextlib.suppress(NotFound):  # the release may be about to do the same
            own_suite.client.undeploy(model, deployment.version, force=True, timeout=60)


COUNT = itertools.count(1)


def reach(suite: Suite, release: str, percent: float) -> pb.Release:
    """Waits until the release is at this share of the traffic."""
    found: list[pb.Release] = []

    def there() -> bool:
        found[:] = [suite.client.releases.get(release)]
        return found[0].percent >= percent

    suite.until(there, f"{release} at {percent} %", PATIENCE)
    return found[0]


@pytest.mark.parametrize("program", ["patcher", "monitor", "gateway", "consul"])
@pytest.mark.timeout(240)
def test_whatever_dies_at_each_step_it_goes_on_without_a_jump(
    own_suite: Suite, pair: tuple[str, int, int], program: str
) -> None:
    model, stable, candidate = pair
    with (
        Load(own_suite.address, model, {stable: OLD, candidate: NEW}) as load,
        Weights(own_suite, model, candidate) as weights,
    ):
        release = own_suite.client.releases.start(model, candidate, policy())
        for percent in STEPS:
            reach(own_suite, release.name, percent)
            own_suite.kill(program)
        ended = own_suite.client.releases.wait(release.name, timeout=PATIENCE)
        own_suite.until_ready(timeout=60)
        load.wait_for(200)
    assert ended.state == pb.Release.STATE_PROMOTED, ended.message
    taken = [event.percent for event in own_suite.client.releases.events(release.name) if event.kind == "step"]
    assert taken == list(STEPS), "every step was taken, none twice, none left out"
    # Of a step that was short, with what tells the weights killed meanwhile, nothing is seen.
    assert weights.seen == sorted({0.0, *weights.seen} & {0.0, *STEPS}), "no other weight, and never back"
    load.assert_no_failures()


def test_no_traffic_is_no_evidence(own_suite: Suite, pair: tuple[str, int, int]) -> None:
    model, _, candidate = pair
    release = own_suite.client.releases.start(model, candidate, policy(seconds=0.5))
    reach(own_suite, release.name, STEPS[0])
    time.sleep(6)
    seen = own_suite.client.releases.get(release.name)
    assert (seen.state, seen.percent, seen.reason) == (pb.Release.STATE_STEPPING, STEPS[0], "NO_DATA"), seen.message


def test_without_the_monitor_it_holds_and_people_can_still_take_it_back(
    own_suite: Suite, pair: tuple[str, int, int]
) -> None:
    model, stable, candidate = pair
    with Load(own_suite.address, model, {stable: OLD, candidate: NEW}) as load:
        release = own_suite.client.releases.start(model, candidate, policy(seconds=4))
        reach(own_suite, release.name, STEPS[0])
        own_suite.stop("monitor")
        try:
            time.sleep(9)
            seen = own_suite.client.releases.get(release.name)
            assert (seen.state, seen.percent) == (pb.Release.STATE_STEPPING, STEPS[0]), seen.message
            assert seen.reason in {"STALE", "NO_EVIDENCE"}, seen
            own_suite.client.releases.rollback(release.name, "nobody sees anything")
            ended = own_suite.client.releases.wait(release.name, decided=False, timeout=60)
        finally:
            own_suite.start("monitor")
        load.wait_for(100)
    assert ended.state == pb.Release.STATE_ROLLED_BACK
    assert load.versions(load.answers[-50].sent).keys() == {stable}
    load.assert_no_failures()
    own_suite.until_ready("monitor")


def test_a_version_that_fails_goes_back_by_itself_with_the_numbers(
    own_suite: Suite, pair: tuple[str, int, int], tmp_path: Path
) -> None:
    model, stable, _ = pair
    file = tmp_path / "failing.onnx"
    file.write_bytes(onnx_models.failing(4, *NEW).SerializeToString())
    bad = own_suite.client.push(model, file).number
    with Load(own_suite.address, model, {stable: OLD, bad: NEW}) as load:
        release = own_suite.client.releases.start(model, bad, policy(seconds=20))
        ended = own_suite.client.releases.wait(release.name, decided=False, timeout=PATIENCE)
        moment = time.monotonic()
        load.wait_for(200)
    assert (ended.state, ended.reason) == (pb.Release.STATE_ROLLED_BACK, "BAD_ERRORS"), ended.message
    assert f"version {bad} failed" in ended.message
    assert load.versions(moment).keys() == {stable}
    assert {a.status for a in load.failures} == {"INTERNAL"}
    events = list(own_suite.client.releases.events(release.name))
    verdict = next(event for event in events if event.kind == "rollback")
    assert any(one.evidence >= one.limit for one in verdict.evidence.suspicions)
    assert verdict.evidence.candidate.errors > 0


def test_a_release_holds_the_route_of_its_model(
    own_suite: Suite, pair: tuple[str, int, int], catalogue: Catalogue
) -> None:
    model, stable, candidate = pair
    client = own_suite.client
    release = client.releases.start(model, candidate, policy(seconds=60))
    reach(own_suite, release.name, STEPS[0])
    with pytest.raises(BmaseError) as refused:
        client.routes.set_weights(model, {stable: 1})
    assert refused.value.reason == "RELEASE_ACTIVE"
    with pytest.raises(BmaseError) as refused:
        client.releases.start(model, catalogue.push(own_suite, model, 9.0, 9.0), policy())
    assert refused.value.reason == "RELEASE_ACTIVE"
    client.releases.pause(release.name)
    assert client.releases.get(release.name).paused
    client.releases.promote(release.name)
    reach(own_suite, release.name, STEPS[1])
    client.releases.rollback(release.name, "enough")
    assert client.releases.wait(release.name, decided=False, timeout=60).state == pb.Release.STATE_ROLLED_BACK
    # The route is given back right after.
    own_suite.until(lambda: client.routes.set_weights(model, {stable: 1}), "the route free again")


def test_the_way_back_after_promotion_is_short(own_suite: Suite, pair: tuple[str, int, int]) -> None:
    model, stable, candidate = pair
    with Load(own_suite.address, model, {stable: OLD, candidate: NEW}) as load:
        release = own_suite.client.releases.start(model, candidate, policy(seconds=60))
        reach(own_suite, release.name, STEPS[0])
        own_suite.client.releases.promote(release.name, full=True)
        reach(own_suite, release.name, 100)
        load.wait_until(lambda: load.versions(load.answers[-30].sent).keys() == {candidate}, "all on the candidate")
        begun = time.monotonic()
        own_suite.client.releases.rollback(release.name, "second thoughts")
        load.wait_until(lambda: load.versions(load.answers[-30].sent).keys() == {stable}, "all on the stable version")
        took = time.monotonic() - begun
        ended = own_suite.client.releases.wait(release.name, decided=False, timeout=60)
        load.wait_for(200)
    assert ended.state == pb.Release.STATE_ROLLED_BACK
    assert took < 5, f"{took:.1f} s"
    load.assert_no_failures()
