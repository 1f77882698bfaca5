"""Schedules and pipelines in SQL, on SQLite and on MariaDB."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from bmase.reasons import Reason
from sqlalchemy import Connection, LargeBinary, Text

from services.kit.database import Database
from services.kit.errors import DomainError
from services.kit.filters import parse_filter
from services.trainer.jobs.records import JobRecords
from services.trainer.pipelines import transitions as pipeline
from services.trainer.pipelines.history import Kind
from services.trainer.pipelines.listing import FIELDS as LISTED
from services.trainer.pipelines.records import PipelineRecords
from services.trainer.pipelines.state import Phase
from services.trainer.schedules import records as recording
from services.trainer.schedules import transitions as tr
from services.trainer.schedules.decide import Decision, decide
from services.trainer.schedules.observation import Seen
from services.trainer.schedules.records import FIELDS, ScheduleRecords
from services.trainer.schedules.spec import ScheduleSpec
from services.trainer.schedules.state import Outcome, Schedule
from services.trainer.tables import metadata
from tests.support.mariadb import MariaDB

pytestmark = pytest.mark.anyio

HOUR = 3600.0
NOON = 20_000 * 24 * HOUR


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MariaDB]:
    server = MariaDB(tmp_path_factory.mktemp("mariadb"))
    try:
        yield server.start()
    finally:
        server.close()


@pytest.fixture(params=["sqlite", "mariadb"])
async def database(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Database]:
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'trainer.db'}"
    else:
        url = await request.getfixturevalue("server").fresh_database()
    async with Database(url) as database:
        await database.migrate("services.trainer")
        yield database


@pytest.fixture
def schedules(database: Database) -> ScheduleRecords:
    return ScheduleRecords(database)


@pytest.fixture
def pipelines(database: Database) -> PipelineRecords:
    return PipelineRecords(database)


def _schedule(overlap: str = "queue", id: str = "hourly") -> Schedule:
    job = {"model": "models/digits", "recipe": "tabular"}
    trigger = {"kind": "cron", "expression": "0 * * * *"}
    spec = ScheduleSpec.model_validate({"plan": {"job": job}, "trigger": trigger, "overlap": overlap})
    return tr.create(id, spec, "ann", NOON - 1)


async def _look(schedules: ScheduleRecords, now: float) -> list[Decision]:
    kept, running = await schedules.look()
    return decide(kept, Seen(now, running=running))


async def _round(schedules: ScheduleRecords, now: float, fence: int = 1) -> list[bool]:
    return [await schedules.decided(decision, fence) for decision in await _look(schedules, now)]


async def test_the_schema_is_what_the_program_expects(database: Database) -> None:
    def difference(connection: Connection) -> list[object]:
        options = {
            "include_name": lambda name, kind, _: kind != "table" or name != "trainer_schema",
            "compare_type": lambda *kinds: False if isinstance(kinds[4], Text | LargeBinary) else None,
        }
        return list(compare_metadata(MigrationContext.configure(connection, opts=options), metadata))

    await database.migrate("services.trainer")
    async with database.engine.connect() as connection:
        assert await connection.run_sync(difference) == []


async def test_two_leaders_at_once_fire_once(schedules: ScheduleRecords, pipelines: PipelineRecords) -> None:
    await schedules.create(_schedule())
    (first,), (second,) = await _look(schedules, NOON), await _look(schedules, NOON + 1)
    kept = await asyncio.gather(schedules.decided(first, 1), schedules.decided(second, 1))
    assert sorted(kept) == [False, True]
    (started,) = await pipelines.unfinished()
    assert (started.schedule, started.fire) == ("hourly", "cron 2024-10-04T00:00:00Z")
    (fire,) = await schedules.fires("hourly")
    assert (fire.outcome, fire.pipeline) == (Outcome.STARTED, started.id)
    assert await _round(schedules, NOON + 30) == []


async def test_an_earlier_leader_keeps_nothing(schedules: ScheduleRecords, pipelines: PipelineRecords) -> None:
    await schedules.create(_schedule())
    (late,) = await _look(schedules, NOON)
    other = await schedules.create(_schedule(id="other"))
    (by_successor,) = [d for d in await _look(schedules, NOON) if d.before == other]
    assert await schedules.decided(by_successor, 2)
    with pytest.raises(DomainError) as refused:
        await schedules.decided(late, 1)
    assert refused.value.reason is Reason.NOT_LEADER
    assert [p.schedule for p in await pipelines.unfinished()] == ["other"]


async def test_a_decision_is_kept_as_a_whole(
    schedules: ScheduleRecords, pipelines: PipelineRecords, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = await schedules.create(_schedule())
    monkeypatch.setattr(recording, "_tell", _dies)
    with pytest.raises(ConnectionAbortedError):
        await _round(schedules, NOON)
    assert await schedules.get("hourly") == kept
    assert await pipelines.unfinished() == []
    monkeypatch.undo()
    assert await _round(schedules, NOON) == [True]


async def _dies(*_: object) -> None:
    raise ConnectionAbortedError


async def test_what_was_queued_starts_when_the_way_is_free(
    schedules: ScheduleRecords, pipelines: PipelineRecords
) -> None:
    await schedules.create(_schedule())
    await _round(schedules, NOON)
    await _round(schedules, NOON + HOUR)
    assert [fire.outcome for fire in await schedules.fires("hourly")] == [Outcome.QUEUED, Outcome.STARTED]
    (first,) = await pipelines.unfinished()
    await pipelines.change(first.id, lambda p: pipeline.ended(p, Phase.FAILED, NOON + 2 * HOUR, "ERROR", "no"))
    await _round(schedules, NOON + HOUR + 5)
    assert [fire.outcome for fire in await schedules.fires("hourly")] == [Outcome.STARTED, Outcome.STARTED]
    assert len(await pipelines.of_schedule("hourly", 10)) == 2


async def test_the_running_one_gets_the_wish_to_stop(schedules: ScheduleRecords, pipelines: PipelineRecords) -> None:
    await schedules.create(_schedule("cancel"))
    await _round(schedules, NOON)
    await _round(schedules, NOON + HOUR)
    (running,) = await pipelines.unfinished()
    assert running.stop is not None
    assert [line.kind for line in await pipelines.history(running.id)] == [Kind.CREATED, Kind.STOP]


async def test_asked_twice_is_asked_once(schedules: ScheduleRecords, pipelines: PipelineRecords) -> None:
    await schedules.create(_schedule())
    for moment in (NOON - 10, NOON - 9):
        await schedules.ask("hourly", "r1", "bob", moment)
    await _round(schedules, NOON - 8)
    await schedules.ask("hourly", "r1", "bob", NOON - 7)
    assert await _round(schedules, NOON - 6) == []
    assert [p.owner for p in await pipelines.unfinished()] == ["bob"]


async def test_a_name_has_one_wish(schedules: ScheduleRecords) -> None:
    first = await schedules.create(_schedule())
    assert await schedules.create(tr.create("hourly", first.spec, "eve", NOON)) == first
    with pytest.raises(DomainError) as refused:
        await schedules.create(_schedule("skip"))
    assert refused.value.reason is Reason.SCHEDULE_EXISTS


async def test_its_pipelines_outlive_it(schedules: ScheduleRecords, pipelines: PipelineRecords) -> None:
    await schedules.create(_schedule())
    await _round(schedules, NOON)
    await schedules.delete("hourly")
    assert len(await pipelines.unfinished()) == 1
    for call in (schedules.get("hourly"), schedules.fires("hourly"), schedules.delete("hourly")):
        with pytest.raises(DomainError) as refused:
            await call
        assert refused.value.reason is Reason.SCHEDULE_NOT_FOUND


async def test_fires_are_bounded(schedules: ScheduleRecords, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording, "FIRES_KEPT", 3)
    await schedules.create(_schedule("skip"))
    for hour in range(6):
        await _round(schedules, NOON + hour * HOUR)
    assert [fire.due for fire in await schedules.fires("hourly")] == [NOON + hour * HOUR for hour in (5, 4, 3)]


async def test_a_pipeline_keeps_its_history(pipelines: PipelineRecords) -> None:
    begun = pipeline.start("p1", _schedule().spec.plan, "ann", NOON, origin="ann asked for it")
    assert await pipelines.create(begun) == begun
    after = pipeline.has_job(begun, "j1")
    assert await pipelines.decided(begun, after, 1)
    assert not await pipelines.decided(begun, pipeline.has_job(begun, "j2"), 1)
    assert await pipelines.create(begun) == after  # it is there already
    await pipelines.change("p1", lambda p: pipeline.advanced(p, Phase.EVALUATING, NOON + 1, "jobs/j1 is evaluating"), 1)
    lines = await pipelines.history("p1")
    assert [(line.number, line.kind) for line in lines] == [(1, Kind.CREATED), (2, Kind.JOB), (3, Kind.STAGE)]
    assert await pipelines.history("p1", after=2) == lines[2:]
    with pytest.raises(DomainError) as refused:
        await pipelines.get("p2")
    assert refused.value.reason is Reason.PIPELINE_NOT_FOUND


async def test_lists_go_on_where_a_page_ended(schedules: ScheduleRecords, pipelines: PipelineRecords) -> None:
    await schedules.create(_schedule("skip"))
    for other in ("a", "b"):
        await schedules.create(tr.pause(_schedule(id=other), "bob"))
    for hour in range(3):
        await _round(schedules, NOON + hour * HOUR)
    first, name = await schedules.listed((), 2)
    rest, end = await schedules.listed((), 2, name)
    assert ([s.id for s in (*first, *rest)], end) == (["a", "b", "hourly"], "")
    paused, _ = await schedules.listed(parse_filter("paused=true", FIELDS), 9)
    assert [schedule.id for schedule in paused] == ["a", "b"]
    (last, *_) = await schedules.fires("hourly", 1)
    earlier = await schedules.fires("hourly", 9, (last.time, last.due, last.key))
    assert [fire.due for fire in (last, *earlier)] == [NOON + 2 * HOUR, NOON + HOUR, NOON]

    for number in range(3):
        await pipelines.create(pipeline.start(f"p{number}", _schedule().spec.plan, "ann", NOON + 9, origin="asked"))
    page, after = await pipelines.listed(parse_filter('schedule="" AND state=retraining', LISTED), 2)
    following, none = await pipelines.listed(parse_filter('schedule=""', LISTED), 2, after)
    assert ([p.id for p in (*page, *following)], none) == (["p2", "p1", "p0"], None)
    recent = parse_filter('create_time>"2024-10-04T00:00:01Z"', LISTED)
    assert {p.id for p in (await pipelines.listed(recent, 9))[0]} == {"p0", "p1", "p2"}


async def test_jobs_and_pipelines_have_fences_of_their_own(pipelines: PipelineRecords, database: Database) -> None:
    await JobRecords(database).lead(7)
    await pipelines.lead(3)
    assert (await pipelines.fence(), await JobRecords(database).fence()) == (3, 7)
    with pytest.raises(DomainError) as refused:
        await pipelines.lead(2)
    assert refused.value.reason is Reason.NOT_LEADER
