"""A pipeline over all that may become of its job and release, killed at each boundary."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from bmase.reasons import Reason
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from services.kit.errors import DomainError
from services.trainer.jobs.state import Outcome
from services.trainer.jobs.state import Phase as JobPhase
from services.trainer.pipelines import transitions as tr
from services.trainer.pipelines.decide import LANDED, Act, Hold, decide, effects, settle
from services.trainer.pipelines.history import Kind, between
from services.trainer.pipelines.observation import ReleasePhase, ReleaseSeen, Seen
from services.trainer.pipelines.plan import PIPELINE_LABEL, Plan
from services.trainer.pipelines.state import NEXT, STAGES, Phase, from_json, to_json
from tests.unit.trainer.jobs import jobs
from tests.unit.trainer.pipelines.world import PLAN, World, pipeline

GOOD: dict[str, Any] = {}
FIRST: dict[str, Any] = {"routed": False}
UNLOADABLE: dict[str, Any] = {"routed": False, "loads": False}
GATE: dict[str, Any] = {"ends": JobPhase.FAILED, "gate": Outcome.FAILED}
ROLLED: dict[str, Any] = {"releases_end": ReleasePhase.ROLLED_BACK}
BROKEN: dict[str, Any] = {"releases_end": ReleasePhase.FAILED}


def _world(course: dict[str, Any], **fields: Any) -> World:
    return World(pipeline(), **{**course, **fields})


@pytest.mark.parametrize(
    ("course", "phase", "reason"),
    [
        (GOOD, Phase.SUCCEEDED, "DONE"),
        (FIRST, Phase.SUCCEEDED, "DONE"),
        (UNLOADABLE, Phase.FAILED, "LOAD_FAILED"),
        (ROLLED, Phase.ROLLED_BACK, "SLOWER"),
        (BROKEN, Phase.FAILED, "RELEASE_FAILED"),
        ({"ends": JobPhase.FAILED}, Phase.FAILED, "ERROR"),
        ({"ends": JobPhase.CANCELLED}, Phase.CANCELLED, "CANCELLED"),
    ],
)
def test_each_course_ends_with_its_reason(course: dict[str, Any], phase: Phase, reason: str) -> None:
    ended = _world(course).run()
    assert (ended.phase, ended.reason) == (phase, reason)
    assert ended.ended > 0
    assert ended.message


def test_every_stage_is_passed_in_order() -> None:
    world = _world(GOOD)
    world.run()
    assert world.story == [*STAGES[1:], Phase.SUCCEEDED]


def test_a_failed_gate_stops_it_before_anybody_is_sent_there() -> None:
    failing = jobs.at(JobPhase.REGISTERING, gate=Outcome.FAILED)
    failed = replace(jobs.tr.registered(failing, 1, 6.0, 3), id="j1")
    ended, moves = settle(pipeline(), Seen(9.0, failed))
    assert (ended.phase, ended.reason, ended.version) == (Phase.GATE_FAILED, "GATE_FAILED", 3)
    assert "accuracy >= 0.9" in ended.message
    assert moves[-1].sentence == ended.message
    assert effects(ended, Seen(9.0, failed)) == ()


def test_a_job_that_makes_no_version_leaves_nothing_to_release() -> None:
    concluded = jobs.tr.concluded(jobs.at(JobPhase.EVALUATING), 1, 6.0, (), "identical: all files are the same")
    for plan in ({}, {"no_release": True}):
        ended, _ = settle(pipeline(**plan), Seen(9.0, replace(concluded, id="j1")))
        assert (ended.phase, ended.reason) == (Phase.FAILED, "JOB_FAILED")
        assert ended.message == "jobs/j1 made no version: identical: all files are the same"


def test_without_a_release_it_ends_when_the_version_is_registered() -> None:
    world = World(pipeline(no_release=True))
    assert world.run().phase is Phase.SUCCEEDED
    assert not world.releases


COURSES = st.sampled_from(
    [GOOD, ROLLED, BROKEN, FIRST, UNLOADABLE, {"ends": JobPhase.FAILED}, {"ends": JobPhase.CANCELLED}]
)


def _end(world: World) -> tuple[Any, ...]:
    ended = world.run(90)
    assert ended.final
    assert len(world.jobs) <= 1
    assert len(world.releases) <= 1
    return ended.phase, ended.reason, ended.message, ended.version, len(world.jobs), len(world.releases)


@pytest.mark.parametrize("course", [GOOD, ROLLED, BROKEN, FIRST, UNLOADABLE, {"ends": JobPhase.FAILED}])
def test_killed_at_any_boundary_it_ends_the_same(course: dict[str, Any]) -> None:
    undisturbed = _world(course)
    end = _end(undisturbed)
    assert undisturbed.boundaries < 200
    for boundary in range(1, undisturbed.boundaries + 1):
        for finds in (True, False):
            assert _end(_world(course, deaths=frozenset({boundary}), finds=finds)) == end


@settings(max_examples=60, deadline=None)
@given(COURSES, st.frozensets(st.integers(1, 80), max_size=30), st.booleans())
def test_killed_at_many_boundaries_it_ends_the_same(
    course: dict[str, Any], deaths: frozenset[int], finds: bool
) -> None:
    assert _end(_world(course, deaths=deaths, finds=finds)) == _end(_world(course))


@settings(max_examples=40, deadline=None)
@given(COURSES, st.frozensets(st.integers(1, 80), max_size=20), st.integers(0, 25))
def test_cancelled_at_any_moment_it_leaves_nothing_that_runs(
    course: dict[str, Any], deaths: frozenset[int], when: int
) -> None:
    world = _world(course, deaths=deaths, held=True)
    world.run(when)
    if not world.kept.final:
        world.kept = tr.cancel(world.kept, world.now, "bob")
    ended = world.run(90)
    seen = world.look()
    assert ended.final
    # A job that is done needs no stopping; what has ended by itself is told as it ended.
    assert seen.job is None or seen.job.final
    assert seen.release is None or seen.release.final or ended.phase is Phase.SUCCEEDED
    assert seen.deployment is None or ended.phase is Phase.SUCCEEDED


def test_the_first_version_of_a_model_is_deployed_instead_of_released() -> None:
    world = _world(FIRST)
    ended = world.run()
    assert ended.deployed
    assert not world.releases
    assert ended.message == "version 3 of digits has all of the traffic"


def test_a_first_version_that_cannot_be_deployed_is_taken_away_again() -> None:
    world = _world(UNLOADABLE)
    ended = world.run()
    assert (ended.deployed, world.deployments) == (True, {})
    assert "could not be deployed: out of memory" in ended.message
    assert "stays registered" in ended.message


def test_a_model_that_got_another_version_meanwhile_has_a_release() -> None:
    world = _world(FIRST)
    while not world.kept.deployed:
        world.run(1)
    world.traffic = frozenset({1})
    assert world.run().phase is Phase.SUCCEEDED
    assert len(world.releases) == 1


def test_promoted_is_the_end_of_it() -> None:
    world = _world(GOOD)
    while not world.kept.release:
        world.run(1)
    seen = Seen(world.now, release=ReleaseSeen("r1", ReleasePhase.PROMOTED, 100.0))
    ended, _ = settle(world.kept, seen)
    assert (ended.phase, ended.message) == (Phase.SUCCEEDED, "version 3 of digits has all of the traffic")


def test_why_a_creation_has_to_wait_is_told() -> None:
    world = _world(GOOD)
    while world.kept.phase is not Phase.RELEASING:
        world.run(1)
    busy = replace(world.kept, release="")
    found = decide(busy, Seen(world.now, world.look().job, refused="the release r0 moves the traffic of digits"))
    assert isinstance(found, Hold)
    assert found.sentence == "its release is being created: the release r0 moves the traffic of digits"


def test_a_creation_under_way_when_it_was_stopped_is_looked_for() -> None:
    stopped = tr.cancel(pipeline(), 10.0, "bob")
    assert isinstance(decide(stopped, Seen(10.0 + LANDED - 1)), Hold)
    assert effects(stopped, Seen(11.0)) == ()
    landed, _ = settle(stopped, Seen(20.0, replace(jobs.at(JobPhase.QUEUED), id="j1")))
    (effect,) = effects(landed, Seen(20.0, replace(jobs.at(JobPhase.QUEUED), id="j1")))
    assert (effect.act, effect.target) == (Act.CANCEL_JOB, "j1")
    ended, _ = settle(stopped, Seen(10.0 + LANDED))
    assert (ended.phase, ended.actor) == (Phase.CANCELLED, "bob")


@pytest.mark.parametrize("far", range(4))
def test_silence_changes_nothing(far: int) -> None:
    world = _world(GOOD)
    world.run(2 + 3 * far)
    silent = Seen(world.now + 1e6, jobs_silent=True, releases_silent=True)
    assert world.kept.final or isinstance(decide(world.kept, silent), Hold)


def test_what_was_there_and_is_gone_is_told() -> None:
    gone, _ = settle(tr.has_job(pipeline(), "j1"), Seen(9.0))
    assert (gone.phase, gone.reason) == (Phase.FAILED, "JOB_NOT_FOUND")
    world = _world(GOOD)
    while not world.kept.release:
        world.run(1)
    gone, _ = settle(world.kept, replace(world.look(), release=None))
    assert (gone.phase, gone.reason) == (Phase.FAILED, "RELEASE_NOT_FOUND")


def test_a_refusal_ends_it_and_a_late_one_changes_nothing() -> None:
    ended = tr.refused(pipeline(), Phase.RETRAINING, 5.0, Reason.NO_STABLE_VERSION, "no stable version")
    assert (ended.phase, ended.reason) == (Phase.FAILED, "NO_STABLE_VERSION")
    later = tr.advanced(pipeline(), Phase.EVALUATING, 2.0, "")
    assert tr.refused(later, Phase.RETRAINING, 5.0, "X", "x") == later


def test_cancelling_twice_is_the_same_and_too_late_is_told() -> None:
    once = tr.cancel(pipeline(), 2.0, "bob")
    assert tr.cancel(once, 3.0, "eve") == once
    with pytest.raises(DomainError) as late:
        tr.cancel(_world(GOOD).run(), 1e6, "bob")
    assert late.value.reason is Reason.PIPELINE_ENDED


def test_the_table_of_states_is_kept() -> None:
    for phase in Phase:
        for following in Phase:
            if following in NEXT[phase]:
                continue
            begun = replace(pipeline(), phase=phase)
            move = partial(tr.advanced, message="") if following in STAGES else partial(tr.ended, reason="", message="")
            with pytest.raises(tr.IllegalMove):
                move(begun, following, 2.0)


def test_another_job_is_a_defect() -> None:
    with pytest.raises(DomainError, match="belongs to j1"):
        tr.has_job(tr.has_job(pipeline(), "j1"), "j2")


def test_its_history_has_a_line_for_each_change() -> None:
    done = _world(ROLLED).run()
    kinds = [line.kind for line in between(pipeline(), done, 9.0)]
    assert kinds == [Kind.JOB, Kind.VERSION, Kind.RELEASE, Kind.ENDED]
    assert [line.kind for line in between(None, pipeline(), 1.0)] == [Kind.CREATED]
    assert [line.actor for line in between(pipeline(), tr.cancel(pipeline(), 2.0, "bob"), 2.0)] == ["bob"]


def test_it_is_kept_as_a_whole() -> None:
    for world in (_world(GOOD), _world(ROLLED)):
        ended = world.run()
        assert from_json(ended.id, to_json(ended)) == ended
    with pytest.raises(DomainError, match="another version"):
        from_json("p1", "{}")


def test_the_job_carries_the_pipeline_as_a_label() -> None:
    assert PLAN.job_for("p1").labels == {PIPELINE_LABEL: "p1"}
    with pytest.raises(ValidationError, match="the pipeline sets it"):
        Plan.model_validate({"job": {"model": "models/d", "recipe": "t", "labels": {"pipeline": "x"}}})


def test_a_release_policy_is_one_of_the_contract() -> None:
    Plan.model_validate({**PLAN.model_dump(), "release_policy": {"shadowSamples": 100}})
    with pytest.raises(ValidationError, match="release policy"):
        Plan.model_validate({**PLAN.model_dump(), "release_policy": {"speed": "fast"}})


def test_standing_says_what_it_waits_for() -> None:
    world = _world(GOOD)
    while not world.kept.release:
        world.run(1)
    seen = Seen(world.now, release=ReleaseSeen("r1", ReleasePhase.STEPPING, 25.0, message="too few requests"))
    found = decide(world.kept, seen)
    assert isinstance(found, Hold)
    assert found.sentence == "releases/r1 is stepping at 25 %: too few requests"
