"""Jobs and their journals in SQL, on SQLite and on MariaDB."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from bmase.reasons import Reason
from sqlalchemy import Connection, LargeBinary, Text, event, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from services.kit.database import Database
from services.kit.errors import DomainError, InvalidArgument
from services.kit.filters import parse_filter
from services.trainer.jobs import journal as journals
from services.trainer.jobs import requests as rq
from services.trainer.jobs import transitions as tr
from services.trainer.jobs.events import Event, Kind, LogLine, Metrics, StateChange
from services.trainer.jobs.journal import JobJournal, Point
from services.trainer.jobs.listing import LASTING_FIELDS
from services.trainer.jobs.records import JobRecords
from services.trainer.jobs.spec import Spec
from services.trainer.jobs.state import Cause, Checkpoint, Job, Phase, Progress
from services.trainer.jobs.tables import job_events, jobs
from services.trainer.tables import metadata
from tests.support.mariadb import MariaDB

pytestmark = pytest.mark.anyio


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
def records(database: Database) -> JobRecords:
    return JobRecords(database)


@pytest.fixture
def journal(database: Database) -> JobJournal:
    return JobJournal(database)


def _job(id: str = "j1", created: float = 1.25, owner: str = "ann", model: str = "digits", **fields: Any) -> Job:
    spec = Spec.model_validate({"model": f"models/{model}", "recipe": "tabular", **fields})
    return Job(id, spec, owner, created, since=created)


def _running(job: Job) -> Job:
    return tr.prepared(tr.begin(job, 2.0, {"blue": 1}), 1, 3.0)


async def _ids(records: JobRecords, filter: str = "", order_by: str = "create_time") -> list[str]:
    found, _ = await records.listed(rq.List(page_size=100, filter=filter, order_by=order_by))
    return [job.id for job in found]


async def test_the_schema_is_what_the_program_expects(database: Database) -> None:
    def difference(connection: Connection) -> list[object]:
        options = {
            "include_name": lambda name, kind, _: kind != "table" or name != "trainer_schema",
            # MariaDB takes the smallest of its text and binary types that holds the length; the rest must be equal.
            "compare_type": lambda *kinds: False if isinstance(kinds[4], Text | LargeBinary) else None,
        }
        return list(compare_metadata(MigrationContext.configure(connection, opts=options), metadata))

    await database.migrate("services.trainer")  # a second start changes nothing
    async with database.engine.connect() as connection:
        assert await connection.run_sync(difference) == []


async def test_a_job_comes_back_as_it_was_kept(records: JobRecords) -> None:
    made = await records.create(_job(parameters={"rate": 0.5, "word": "ein Wort — 語"}), ("", ""))
    assert await records.get("j1") == made
    full = tr.checkpointed(_running(made), 1, Checkpoint(10, "s3://b/10", "sha256:x", 5, 1, 2.5))
    full = tr.lost(full, 1, 4.0, Cause.NODE_LOST, "gone")
    assert await records.change("j1", lambda job: full) == full
    assert await records.get("j1") == full
    assert await records.unfinished() == [full]
    await records.change("j1", lambda job: tr.cancel(job, 5.0, "ann", ""))
    assert await records.unfinished() == []
    with pytest.raises(DomainError) as unknown:
        await records.get("j2")
    assert unknown.value.reason is Reason.JOB_NOT_FOUND


async def test_one_request_makes_one_job(records: JobRecords) -> None:
    made = [records.create(_job(f"j{n}"), ("q", "same")) for n in range(5)]
    [id] = {job.id for job in await asyncio.gather(*made)}
    assert await _ids(records) == [id]
    with pytest.raises(DomainError) as reused:
        await records.create(_job("other"), ("q", "other"))
    assert reused.value.reason is Reason.REQUEST_REUSED
    assert await _ids(records) == [id]


async def test_a_change_and_what_it_is_told_as_are_one(records: JobRecords, journal: JobJournal) -> None:
    await records.create(_job(), ("", ""))
    await records.change("j1", lambda job: tr.begin(job, 2.0, {"blue": 1}))
    await records.change("j1", lambda job: job)
    told = await journal.read("j1", 0, frozenset(Kind), 10)
    assert [(line.offset, line.attempt) for line in told] == [(1, 0), (2, 1)]
    assert [line.body.phase for line in told if isinstance(line.body, StateChange)] == [Phase.QUEUED, Phase.PREPARING]

    def refuse(job: Job) -> Job:
        raise tr.IllegalMove("no")

    with pytest.raises(tr.IllegalMove):
        await records.change("j1", refuse)
    assert await journal.last_offset("j1") == 2


async def test_an_earlier_leader_writes_no_more(records: JobRecords) -> None:
    made = await records.create(_job(), ("", ""))
    await records.lead(8)
    started = tr.begin(made, 2.0, {"blue": 1})
    with pytest.raises(DomainError) as refused:
        await records.decided(made, started, fence=7)
    assert refused.value.reason is Reason.NOT_LEADER
    assert await records.get("j1") == made
    assert await records.decided(made, started, fence=8)
    assert (await records.fence(), await records.get("j1")) == (8, started)


async def test_a_decision_about_a_job_that_has_changed_is_dropped(records: JobRecords) -> None:
    made = await records.create(_job(), ("", ""))
    cancelled = await records.change("j1", lambda job: tr.cancel(job, 2.0, "ann", ""))
    assert not await records.decided(made, tr.begin(made, 3.0, {"blue": 1}), fence=1)
    assert await records.get("j1") == cancelled


async def test_changes_at_once_are_all_kept(records: JobRecords, journal: JobJournal) -> None:
    await records.create(_job(), ("", ""))
    await records.change("j1", _running)

    async def log(number: int) -> None:
        await journal.append("j1", [Event(1.0, 1, LogLine(f"{number}"))] * 3)

    async def progress(number: int) -> None:
        await records.change("j1", lambda job: tr.progressed(job, 1, Progress(number)))

    await asyncio.gather(*(progress(number) for number in range(1, 11)), *(log(number) for number in range(10)))
    told = await journal.read("j1", 0, frozenset(Kind), 100)
    assert [line.offset for line in told] == list(range(1, 43))
    assert sum(line.kind is Kind.PROGRESS for line in told) == 10


async def test_lists_are_filtered_and_sorted(records: JobRecords) -> None:
    await records.create(_job("a", 1.0, "ann", priority=5, labels={"team": "vision"}), ("", ""))
    await records.create(_job("b", 2.0, "bob", "faces", recipe="image-classification"), ("", ""))
    await records.create(_job("c", 3.0, "ann", priority=-1), ("", ""))
    await records.change("c", lambda job: tr.failed(tr.begin(job, 4.0, {"x": 1}), 1, 5.0, Cause.ERROR, "no"))
    assert await _ids(records, order_by="") == ["c", "b", "a"]
    assert await _ids(records, order_by="priority desc") == ["a", "b", "c"]
    for filter, ids in {
        "owner=ann": "ac",
        "owner!=ann": "b",
        'model:"fa*"': "b",
        "state=failed": "c",
        "state!=failed": "ab",
        "active=true": "ab",
        "active=false": "c",
        "active!=true": "c",
        "cause=error": "c",
        "labels.team=vision": "a",
        "labels.team:*": "a",
        "priority>=0 AND active=true": "ab",
        "recipe=tabular AND owner=ann": "ac",
        'create_time>"1970-01-01T00:00:01Z"': "bc",
    }.items():
        assert await _ids(records, filter) == list(ids), filter
    with pytest.raises(InvalidArgument):
        await _ids(records, "state=sleeping")


@pytest.mark.parametrize("order_by", ["create_time", "create_time desc", "priority", "priority desc"])
async def test_pages_stay_right_while_jobs_come_and_go(records: JobRecords, order_by: str) -> None:
    for number in range(7):
        await records.create(_job(f"j{number}", float(number // 3), priority=number % 2), ("", ""))
    whole = await _ids(records, order_by=order_by)
    seen, token, pages = [], "", 0
    while token or not pages:
        asked = rq.List(page_size=2, page_token=token, order_by=order_by)
        page, token = await records.listed(asked)
        seen += [job.id for job in page]
        # Whether a new one is still seen depends on its place; each of the others is, and once.
        await records.create(_job(f"new{pages}", 0.0, priority=0), ("", ""))
        pages += 1
        assert pages < 12
    assert [id for id in seen if id.startswith("j")] == whole
    assert len(seen) == len(set(seen))
    _, token = await records.listed(rq.List(page_size=2))
    with pytest.raises(DomainError) as refused:
        await records.listed(rq.List(page_size=2, page_token=token, filter="owner=ann"))
    assert refused.value.reason is Reason.PAGE_TOKEN_INVALID


async def test_large_jobs_make_short_pages(records: JobRecords) -> None:
    uris = tuple(f"file:///{'x' * 1000}/{n}" for n in range(1000))
    for number in range(3):
        await records.create(_job(f"j{number}", float(number), data=[{"uris": uris}]), ("", ""))
    page, token = await records.listed(rq.List(page_size=50, order_by="create_time"))
    assert [job.id for job in page] == ["j0", "j1"]
    rest, token = await records.listed(rq.List(page_size=50, order_by="create_time", page_token=token))
    assert ([job.id for job in rest], token) == (["j2"], "")


async def test_watchers_get_each_changed_job_once_as_it_is(records: JobRecords) -> None:
    for id, owner in (("a", "ann"), ("b", "bob")):
        await records.create(_job(id, 1.0, owner), ("", ""))
    begin = await records.changed(0, (), 10)
    assert [job.id for _, job in begin] == ["a", "b"]
    seen = begin[-1][0]
    assert seen == await records.revision()
    await records.change("a", lambda job: tr.begin(job, 2.0, {"blue": 1}))
    await records.change("a", lambda job: tr.prepared(job, 1, 3.0))
    [(revision, job)] = await records.changed(seen, (), 10)
    assert (job.id, job.phase, revision > seen) == ("a", Phase.RUNNING, True)
    bobs = parse_filter("owner=bob", LASTING_FIELDS)
    assert [job.id for _, job in await records.changed(0, bobs, 10)] == ["b"]
    assert len(await records.changed(0, (), 1)) == 1


async def test_what_another_version_of_the_code_wrote_stops_no_other_job(
    database: Database, records: JobRecords
) -> None:
    for id in ("j1", "j2"):
        await records.create(_job(id), ("", ""))
    foreign = '{"id": "j1", "phase": "of tomorrow"}'

    async def written(session: AsyncSession) -> None:
        await session.execute(update(jobs).where(jobs.c.id == "j1").values(document=foreign))

    await database.run(written)
    assert [job.id for job in await records.unfinished()] == ["j2"]
    assert await _ids(records) == ["j2"]
    with pytest.raises(DomainError) as refused:
        await records.change("j1", lambda job: job)
    assert refused.value.reason is Reason.INTERNAL
    async with database.read() as session:
        assert await session.scalar(select(jobs.c.document).where(jobs.c.id == "j1")) == foreign


async def test_a_journal_goes_on_after_an_offset(records: JobRecords, journal: JobJournal) -> None:
    await records.create(_job(), ("", ""))
    lines = [Event(float(n), 1, LogLine(f"line {n} — 語", n % 2)) for n in range(5)]
    assert await journal.append("j1", lines) == 6
    assert await journal.append("j1", [Event(9.0, 1, Metrics(1, {"loss": 0.5}))]) == 7
    assert [line.offset for line in await journal.read("j1", 3, frozenset(Kind), 2)] == [4, 5]
    assert [replace(line, offset=0) for line in await journal.read("j1", 0, {Kind.LOG}, 10)] == lines
    assert [line.offset for line in await journal.read("j1", 0, {Kind.METRICS}, 10)] == [7]
    assert await journal.read("j1", 7, frozenset(Kind), 10) == []
    with pytest.raises(DomainError) as unknown:
        await journal.append("j2", lines)
    assert unknown.value.reason is Reason.JOB_NOT_FOUND


async def test_old_chatter_goes_and_states_stay(database: Database, records: JobRecords) -> None:
    journal = JobJournal(database, kept=500)
    await records.create(_job(), ("", ""))
    for batch in range(10):
        await journal.append("j1", [Event(1.0, 1, LogLine(f"{batch}"))] * 250)
    async with database.read() as session:
        kept = int(await session.scalar(select(func.count()).select_from(job_events)) or 0)
    assert 500 <= kept <= 500 + 1000 + 250
    told = await journal.read("j1", 0, frozenset(Kind), 3)
    assert told[0].kind is Kind.STATE
    assert told[1].offset > 1000
    assert await journal.last_offset("j1") == 2501


async def test_lines_of_jobs_that_ended_long_ago_go_and_of_others_stay(
    records: JobRecords, journal: JobJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journals, "FORGOTTEN_AT_ONCE", 3)
    monkeypatch.setattr(journals, "IN_ONE_QUERY", 1)
    for name in ("long-ago", "long-ago-too", "just-now", "goes-on"):
        await records.create(_job(name), ("", ""))
        said = [Event(10.0, 1, LogLine("early")), Event(11.0, 1, Metrics(1, {"loss": 0.5}))]
        await journal.append(name, said * 4)

    async def ended(name: str) -> None:
        await records.change(name, lambda job: tr.cancel(job, 100.0, "ann", ""))

    await ended("long-ago")
    await ended("long-ago-too")
    between = time.time()
    await ended("just-now")

    async def kept(name: str, kind: Kind) -> int:
        return len(await journal.read(name, 0, {kind}, 100))

    for _ in range(2):
        await journal.forget(before=between)
        names = ("long-ago", "long-ago-too", "just-now", "goes-on")
        assert [await kept(name, Kind.LOG) for name in names] == [0, 0, 4, 4]
        assert [await kept(name, Kind.METRICS) for name in names] == [0, 0, 4, 4]
        assert [await kept(name, Kind.STATE) for name in names] == [2, 2, 2, 1]
    points, _ = await journal.metrics(rq.ListMetrics(name="jobs/long-ago", metric="loss", page_size=10))
    assert [point.value for point in points] == [0.5]
    assert await journal.last_offset("long-ago") == 10


async def test_series_have_the_latest_value_of_each_step(records: JobRecords, journal: JobJournal) -> None:
    await records.create(_job(), ("", ""))
    first = [Event(1.0, 1, Metrics(step, {"loss": 1.0 / step, "b": float(step)})) for step in (1, 2, 3, 4)]
    await journal.append("j1", first)
    again = [Event(2.0, 2, Metrics(3, {"loss": 9.0, "b": math.nan})), Event(2.5, 2, Metrics(3, {"loss": 8.0}))]
    await journal.append("j1", again)
    loss = rq.ListMetrics(name="jobs/j1", metric="loss", page_size=3)
    points, token = await journal.metrics(loss)
    assert points == [Point("loss", 1, 1.0, 1.0), Point("loss", 2, 0.5, 1.0), Point("loss", 3, 8.0, 2.5)]
    rest, end = await journal.metrics(loss.model_copy(update={"page_token": token}))
    assert (rest, end) == ([Point("loss", 4, 0.25, 1.0)], "")
    ends = rq.ListMetrics(name="jobs/j1", page_size=1)
    points, token = await journal.metrics(ends)
    assert points == [Point("b", 4, 4.0, 1.0)]
    points, token = await journal.metrics(ends.model_copy(update={"page_token": token}))
    assert (points, token) == ([Point("loss", 4, 0.25, 1.0)], "")


async def test_one_query_however_many_there_are(database: Database, records: JobRecords) -> None:
    for number in range(60):
        await records.create(_job(f"j{number}"), ("", ""))
    asked: list[str] = []
    event.listen(database.engine.sync_engine, "before_cursor_execute", lambda *given: asked.append(given[2]))
    assert len(await records.unfinished()) == 60
    assert len([query for query in asked if query.startswith("SELECT")]) == 1
