"""Pipelines and schedules with a real database, a real Consul and real calls."""

from __future__ import annotations

import sys
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import pytest
from bmase.trainer.v1 import pipeline_pb2, schedule_pb2

from infra.runtime.layout import CHECKOUT
from services.kit.consul import Consul
from services.kit.database import Database
from services.trainer.jobs.records import JobRecords
from services.trainer.jobs.state import Outcome, Phase
from services.trainer.pipelines.plan import Plan
from services.trainer.pipelines.records import PipelineRecords
from services.trainer.pipelines.state import Phase as Stage
from services.trainer.pipelines.transitions import start
from tests.integration.trainer.pipelines.bench import P, Trainer, until, wish
from tests.integration.trainer.pipelines.stage import R, World
from tests.support.consul import Consul as ConsulServer
from tests.support.process import Process
from tests.unit.trainer.jobs import jobs as jobs_for_tests

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def consul_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ConsulServer]:
    with ConsulServer(tmp_path_factory.mktemp("consul")) as server:
        yield server


@pytest.fixture
async def consul(consul_server: ConsulServer) -> AsyncIterator[Consul]:
    async with Consul(consul_server.url) as consul:
        yield consul


@pytest.fixture
async def world(consul: Consul, tmp_path: Path) -> AsyncIterator[World]:
    async with World(consul, tmp_path) as world:
        world.routes["digits"] = 1
        yield world


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    async with Database(f"sqlite:///{tmp_path / 'trainer.db'}") as database:
        await database.migrate("services.trainer")
        yield database


@pytest.fixture
async def trainer(consul: Consul, world: World, database: Database, tmp_path: Path) -> AsyncIterator[Trainer]:
    async with Trainer(consul, database, tmp_path) as trainer:
        yield trainer


async def _release(trainer: Trainer, name: str) -> str:
    found = await until(lambda: trainer.get(name), lambda p: p.release, "a release")
    return str(found.release)


async def test_from_data_to_all_of_the_traffic(trainer: Trainer, world: World) -> None:
    begun = await trainer.starts(release_policy={"shadow_samples": 7})
    await trainer.makes(await trainer.job(begun.name), 2)
    release = await _release(trainer, begun.name)
    assert world.releases[release].policy.shadow_samples == 7
    world.ends(release, R.STATE_PROMOTED)
    ended = await trainer.reaches(begun.name, P.STATE_SUCCEEDED)
    assert (ended.version, ended.reason) == ("models/digits/versions/2", "DONE")
    assert [t.state for t in ended.timings] == [1, 2, 3, 4]
    story = await trainer.events(begun.name)
    assert (story[:2], story[-2:]) == (["created", "job"], ["release", "ended"])
    assert sorted(story[2:-2]) == ["stage", "stage", "stage", "version"]
    assert trainer.registry.get_sample_value("bmase_trainer_pipelines_ended_total", {"state": "succeeded"}) == 1


async def test_a_failed_gate_keeps_it_from_everybody(trainer: Trainer, world: World) -> None:
    begun = await trainer.starts()
    await trainer.makes(await trainer.job(begun.name), 2, Outcome.FAILED)
    ended = await trainer.reaches(begun.name, P.STATE_GATE_FAILED)
    assert "accuracy >= 0.9: 0.87" in ended.message
    assert not world.releases
    assert ended.version == "models/digits/versions/2"


async def test_a_release_that_is_taken_back_ends_it(trainer: Trainer, world: World) -> None:
    begun = await trainer.starts()
    await trainer.makes(await trainer.job(begun.name), 2)
    world.ends(await _release(trainer, begun.name), R.STATE_ROLLED_BACK, "9 % of requests fail", "BAD_ERRORS")
    ended = await trainer.reaches(begun.name, P.STATE_ROLLED_BACK)
    assert (ended.reason, "9 % of requests fail" in ended.message) == ("BAD_ERRORS", True)


async def test_the_first_version_of_a_model_is_deployed(trainer: Trainer, world: World) -> None:
    world.routes.clear()
    begun = await trainer.starts(release_policy={"replicas": 2})
    await trainer.makes(await trainer.job(begun.name), 1)
    await until(lambda: trainer.get(begun.name), lambda p: p.deployment, "a deployment")
    world.deployed("digits", 1)
    await trainer.reaches(begun.name, P.STATE_SUCCEEDED)
    assert not world.releases


async def test_it_waits_for_another_release_and_says_so(trainer: Trainer, world: World) -> None:
    world.releases["releases/r-0"] = R(name="releases/r-0", model="models/digits", candidate=9, state=R.STATE_STEPPING)
    begun = await trainer.starts()
    await trainer.makes(await trainer.job(begun.name), 2)
    await until(lambda: trainer.get(begun.name), lambda p: "releases/r-0 moves the traffic" in p.message, "its words")
    world.ends("releases/r-0", R.STATE_ROLLED_BACK)
    await _release(trainer, begun.name)


async def test_silence_changes_nothing(trainer: Trainer, world: World) -> None:
    begun = await trainer.starts()
    await trainer.makes(await trainer.job(begun.name), 2)
    release = await _release(trainer, begun.name)
    world.silent = True
    await until(lambda: trainer.get(begun.name), lambda p: "does not answer" in p.message, "its words")
    world.silent = False
    world.ends(release, R.STATE_PROMOTED)
    await trainer.reaches(begun.name, P.STATE_SUCCEEDED)


async def test_cancelled_it_leaves_nothing_that_runs(trainer: Trainer, world: World) -> None:
    training, releasing = await trainer.starts("one"), await trainer.starts("two")
    await trainer.makes(await trainer.job(releasing.name), 2)
    release, job = await _release(trainer, releasing.name), await trainer.job(training.name)
    for name in (training.name, releasing.name):
        await trainer.pipelines.CancelPipeline(pipeline_pb2.CancelPipelineRequest(name=name, message="enough"))
        ended = await trainer.reaches(name, P.STATE_CANCELLED)
        assert ended.message.startswith("enough")
    assert await trainer.phase(job) is Phase.CANCELLED
    assert world.releases[release].state == R.STATE_ROLLED_BACK


async def test_a_request_is_one_pipeline(trainer: Trainer) -> None:
    first, again = await trainer.starts("same"), await trainer.starts("same")
    assert first.name == again.name
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await trainer.starts("same", no_release=True)
    assert "was used for another pipeline" in str(refused.value.details())


async def test_lists_have_pages_and_filters(trainer: Trainer) -> None:
    names = [(await trainer.starts(no_release=True)).name for _ in range(3)]
    listed, token = [], ""
    while True:
        asked = pipeline_pb2.ListPipelinesRequest(page_size=2, page_token=token, filter='active=true AND model:"dig*"')
        page = await trainer.pipelines.ListPipelines(asked)
        listed += [pipeline.name for pipeline in page.pipelines]
        token = page.next_page_token
        if not token:
            break
    assert listed == names[::-1]
    none = pipeline_pb2.ListPipelinesRequest(filter="state=succeeded")
    assert not (await trainer.pipelines.ListPipelines(none)).pipelines


async def test_a_watch_tells_each_change_and_the_end(trainer: Trainer) -> None:
    begun = await trainer.starts(no_release=True)
    states: list[int] = []
    watched: list[int] = []
    everything = trainer.pipelines.WatchPipelines(pipeline_pb2.WatchPipelinesRequest(model="models/digits"))
    async for seen in trainer.pipelines.WatchPipelines(pipeline_pb2.WatchPipelinesRequest(name=begun.name)):
        if seen.job and not states:
            await trainer.makes(seen.job.removeprefix("jobs/"), 2)
        states += [seen.state] if seen.job else []
    assert states[-1] == P.STATE_SUCCEEDED
    again = await trainer.starts(no_release=True)
    async for seen in everything:
        if seen.name != again.name:
            continue
        if seen.job and not watched:
            await trainer.makes(seen.job.removeprefix("jobs/"), 3)
        watched += [seen.state] if seen.job else []
        if seen.state == P.STATE_SUCCEEDED:
            break


done = partial(jobs_for_tests.at, Phase.SUCCEEDED)


# --- whoever leads dies


async def test_the_leader_may_die_at_every_stage(
    consul: Consul, world: World, database: Database, tmp_path: Path
) -> None:
    """Each instance takes it one stage further and is gone."""
    async with Trainer(consul, database, tmp_path) as first:
        name = (await first.starts()).name
        job = await first.job(name)
    await first.trains(job)
    await first.trained(job)
    for advance, state in (
        (lambda t: t.evaluated(job), P.STATE_EVALUATING),
        (lambda t: t.registered(job, 2), P.STATE_REGISTERING),
        (_nothing, P.STATE_RELEASING),
    ):
        async with Trainer(consul, database, tmp_path) as next_one:
            await next_one.reaches(name, state)
        await advance(first)
    async with Trainer(consul, database, tmp_path) as releasing:
        release = await _release(releasing, name)
    world.ends(release, R.STATE_PROMOTED)
    async with Trainer(consul, database, tmp_path) as last:
        ended = await last.reaches(name, P.STATE_SUCCEEDED)
    assert ended.job == f"jobs/{job}"
    assert len(world.releases) == 1


async def test_a_leader_that_is_killed_is_followed_by_another(
    consul_server: ConsulServer, world: World, database: Database, tmp_path: Path
) -> None:
    """With kill -9, while its job is on its way and while its release is."""
    url, jobs, kept = f"sqlite:///{tmp_path / 'trainer.db'}", JobRecords(database), PipelineRecords(database)
    names = ("one", "two", "three")
    instances = [_instance(consul_server.url, url, tmp_path / name).start() for name in names]
    try:
        plan = Plan.model_validate({"job": {"model": "models/digits", "recipe": "tabular"}})
        await kept.create(start("p1", plan, "ann", time.time(), origin="ann asked for it"))
        begun = await until(lambda: kept.get("p1"), lambda p: p.job, "a job", 60)
        _kill_leader(instances)
        await jobs.change(begun.job, lambda _: replace(done(gate=Outcome.PASSED), id=begun.job))
        await until(lambda: kept.get("p1"), lambda p: p.release, "a release", 60)
        _kill_leader(instances)
        (release,) = world.releases
        world.ends(release, R.STATE_PROMOTED)
        ended = await until(lambda: kept.get("p1"), lambda p: p.final, "an end", 60)
    finally:
        for instance in instances:
            instance.kill()
    assert (ended.phase, ended.job) == (Stage.SUCCEEDED, begun.job)
    assert len(world.releases) == 1


def _instance(consul_url: str, database_url: str, folder: Path) -> Process:
    module = "tests.integration.trainer.pipelines.instance"
    command = [sys.executable, "-m", module, consul_url, database_url, str(folder)]
    return Process(command, folder / "instance.log", name=folder.name, cwd=CHECKOUT)


def _kill_leader(instances: list[Process]) -> None:
    (leader,) = [i for i in instances if i.alive and "leading" in i.log.read_text()]
    leader.kill()


async def _nothing(_: Trainer) -> None:
    """It advances by itself."""


# --- schedules


async def _schedule(trainer: Trainer, **fields: Any) -> Any:
    schedule = schedule_pb2.Schedule(name="schedules/nightly", plan=wish(no_release=True), **fields)
    return await trainer.schedules.CreateSchedule(schedule_pb2.CreateScheduleRequest(schedule=schedule))


async def _started(trainer: Trainer, count: int = 1) -> list[str]:
    def enough(fires: list[Any]) -> bool:
        return len([fire for fire in fires if fire.pipeline]) >= count

    fires = await until(lambda: trainer.fires("schedules/nightly"), enough, f"{count} fires")
    return [fire.pipeline for fire in fires if fire.pipeline]


async def test_drift_starts_a_pipeline_once(trainer: Trainer, world: World) -> None:
    made = await _schedule(trainer, drift={"kinds": ["drift"]})
    assert made.drift.cool_down.seconds == 6 * 3600
    world.alert("other", 1, "a0")
    world.alert("digits", 7, "a7")  # nobody is sent to that version any more
    world.alert("digits", 1)
    (name,) = await _started(trainer)
    begun = await trainer.get(name)
    assert "drift alert about version 1: input/x moved by 0.4" in begun.origin
    await trainer.makes(await trainer.job(name), 2)
    ended = await trainer.reaches(name, P.STATE_SUCCEEDED)
    assert ended.schedule == "schedules/nightly"
    assert len(await trainer.fires("schedules/nightly")) == 1


async def test_new_data_starts_a_pipeline(trainer: Trainer, tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    lake.mkdir()
    (lake / "a.csv").write_text("x,y\n1,2\n")
    plan = wish(no_release=True)
    plan.job.data.add(uris=[lake.as_uri()])
    schedule = schedule_pb2.Schedule(name="schedules/nightly", plan=plan)
    schedule.data.settle.FromMilliseconds(300)
    await trainer.schedules.CreateSchedule(schedule_pb2.CreateScheduleRequest(schedule=schedule))
    named = schedule_pb2.GetScheduleRequest(name="schedules/nightly")
    asked = trainer.schedules.GetSchedule
    await until(lambda: asked(named), lambda s: s.message == "waits for the data to change", "a first look")
    (lake / "b.csv").write_text("x,y\n3,4\n")
    (name,) = await _started(trainer)
    assert "the data has changed" in (await trainer.get(name)).origin


async def test_by_hand_also_while_it_is_paused(trainer: Trainer) -> None:
    made = await _schedule(trainer, cron={"expression": "0 3 * * *", "zone": "Europe/Berlin"}, paused=True)
    assert (made.cron.limit, made.cron.catch_up, made.paused, list(made.next_times)) == (10, 2, True, [])
    ran = await trainer.schedules.RunSchedule(schedule_pb2.RunScheduleRequest(name=made.name, message="now please"))
    assert await _started(trainer) == [ran.pipeline]
    wanted = schedule_pb2.Schedule(name=made.name, paused=False, etag=made.etag)
    update = schedule_pb2.UpdateScheduleRequest(schedule=wanted, update_fields=["paused"])
    going = await trainer.schedules.UpdateSchedule(update)
    assert (going.paused, len(going.next_times)) == (False, 5)
    with pytest.raises(grpc.aio.AioRpcError) as stale:
        await trainer.schedules.UpdateSchedule(update)
    assert stale.value.code() is grpc.StatusCode.ABORTED
    await trainer.schedules.DeleteSchedule(schedule_pb2.DeleteScheduleRequest(name=made.name))
    assert (await trainer.get(ran.pipeline)).name == ran.pipeline


async def test_a_schedule_says_what_is_wrong_with_it(trainer: Trainer) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await _schedule(trainer, cron={"expression": "every day"})
    assert "schedule.cron" in str(refused.value.details())
    with pytest.raises(grpc.aio.AioRpcError, match="names no data"):
        await _schedule(trainer, data={})
