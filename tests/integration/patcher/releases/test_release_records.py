"""Releases in SQL, on SQLite and on MariaDB."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from bmase.reasons import Reason
from sqlalchemy import event, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from services.kit.database import Database
from services.kit.errors import DomainError
from services.patcher.records import Records
from services.patcher.releases.policy import Policy, Step, Webhook
from services.patcher.releases.records import ReleaseRecords
from services.patcher.releases.state import Abort, Chore, Event, Kind, Move, Phase, Release, Why, moved
from services.patcher.releases.tables import releases
from services.patcher.state import SeeGateway
from tests.support.mariadb import MariaDB

pytestmark = pytest.mark.anyio

POLICY = Policy(
    steps=(Step(percent=2.5, gate=True, max_time=60), Step(percent=100)), webhooks=(Webhook(url="http://h/x"),)
)
FULL = Release(
    "r1", "digits", 3, 2, POLICY, Phase.ROLLING_BACK, 1.25, "ann", True, 0, 2.5, 7, True, True, 1,
    Abort(Why.WEBHOOK, "ein Wort — 語", "h", 3.5), True, 2, "WEBHOOK", "ein Wort — 語", 4.5, 4.75, 3, 2,
    frozenset({Chore.END_COMPARISON, Chore.UNDEPLOY_CANDIDATE}), 5.5, 6.5, 7.5, 8, 5, 1, b"\x00\xff",
)  # fmt: skip


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
        url = f"sqlite:///{tmp_path / 'patcher.db'}"
    else:
        url = await request.getfixturevalue("server").fresh_database()
    async with Database(url) as database:
        await database.migrate("services.patcher")
        yield database


@pytest.fixture
def records(database: Database) -> ReleaseRecords:
    return ReleaseRecords(database)


def _move(release: Release, kind: Kind = Kind.STEP, **changes: object) -> Move:
    return moved(release, Event(kind, "words", Why.GOOD, evidence=b"\x00e"), 9.0, **changes)


async def test_a_release_comes_back_as_it_was_kept(records: ReleaseRecords) -> None:
    made = await records.create(Release("r1", "digits", 3, 2, created=1.25), ("", ""), "from 2 to 3")
    assert await records.get("r1") == made
    kept, _ = await records.change("r1", lambda release: [Move(FULL)])
    assert kept == replace(FULL, revision=2)
    assert await records.get("r1") == kept
    assert await records.unfinished() == [kept]


async def test_a_decision_and_its_line_are_one_transaction(records: ReleaseRecords) -> None:
    await records.create(Release("r1", "digits", 3, 2), ("", ""), "from 2 to 3")

    def two(release: Release) -> list[Move]:
        first = _move(release, step=0)
        return [first, _move(first.release, Kind.HOLD, held_at=9.0)]

    kept, moves = await records.change("r1", two)
    assert (kept.step, kept.number, kept.reason) == (0, 3, "GOOD")
    lines = await records.events("r1", 0, 100)
    assert [line.kind for line in lines] == [Kind.CREATED, Kind.STEP, Kind.HOLD]
    assert lines[1] == moves[0].event
    assert await records.events("r1", 2, 100) == lines[2:]

    def refuse(release: Release) -> list[Move]:
        raise DomainError(Reason.RELEASE_ENDED, "no")

    with pytest.raises(DomainError):
        await records.change("r1", refuse)
    assert await records.get("r1") == kept


async def test_an_earlier_leader_writes_no_more(database: Database, records: ReleaseRecords) -> None:
    """Deployments and releases have one fence."""
    await records.create(Release("r1", "digits", 3, 2), ("", ""), "from 2 to 3")
    [led] = await records.lead(8, "second")
    assert led.reason == ""
    with pytest.raises(DomainError) as refused:
        await records.change("r1", lambda release: [_move(release)], fence=7)
    assert refused.value.reason is Reason.NOT_LEADER
    with pytest.raises(DomainError) as refused:
        await Records(database).change(lambda state: SeeGateway("gw1", 1.0).apply(state), fence=7)
    assert refused.value.reason is Reason.NOT_LEADER
    assert await records.fence() == 8
    assert [line.kind for line in await records.events("r1", 0, 9)] == [Kind.CREATED, Kind.LEADER]


async def test_what_another_version_of_the_code_wrote_stops_no_other_release(
    database: Database, records: ReleaseRecords
) -> None:
    for name, model in (("r1", "digits"), ("r2", "words")):
        await records.create(Release(name, model, 3, 2), ("", ""), "from 2 to 3")
    foreign = '{"id": "r1", "model": "digits", "candidate": 3, "stable": 2, "phase": "of tomorrow"}'

    async def written(session: AsyncSession) -> None:
        await session.execute(update(releases).where(releases.c.id == "r1").values(document=foreign))

    await database.run(written)
    assert [release.id for release in await records.lead(8, "second")] == ["r2"]
    assert [release.id for release in await records.unfinished()] == ["r2"]
    for call in (records.get("r1"), records.change("r1", lambda release: [_move(release)])):
        with pytest.raises(DomainError) as refused:
            await call
        assert refused.value.reason is Reason.INTERNAL, "it is not unknown: its route is not free"
    async with database.read() as session:
        assert await session.scalar(select(releases.c.document).where(releases.c.id == "r1")) == foreign


async def test_one_active_release_a_model(records: ReleaseRecords) -> None:
    made = [records.create(Release(f"r{n}", "digits", 3, 2), ("", ""), "x") for n in range(5)]
    found = await asyncio.gather(*made, return_exceptions=True)
    refusals = [error for error in found if isinstance(error, DomainError)]
    assert len(refusals) == 4
    assert {refusal.reason for refusal in refusals} == {Reason.RELEASE_ACTIVE}
    [first] = [release for release in found if isinstance(release, Release)]
    await records.change(first.id, lambda release: [_move(release, phase=Phase.FAILED)])
    await records.create(Release("again", "digits", 3, 2, created=5.0), ("", ""), "x")
    assert [release.id for release in await records.listed("digits", True, None, 10)] == ["again"]
    assert [release.id for release in await records.listed("digits", False, None, 10)] == ["again", first.id]
    assert [release.id for release in await records.unfinished()] == ["again"]


async def test_one_request_makes_one_release(records: ReleaseRecords) -> None:
    made = [records.create(Release(f"r{n}", "digits", 3, 2), ("q", "same"), "x") for n in range(5)]
    assert len({release.id for release in await asyncio.gather(*made)}) == 1
    with pytest.raises(DomainError) as reused:
        await records.create(Release("other", "faces", 3, 2), ("q", "other"), "x")
    assert reused.value.reason is Reason.REQUEST_REUSED


async def test_one_query_however_many_there_are(database: Database, records: ReleaseRecords) -> None:
    for number in range(120):
        await records.create(Release(f"r{number}", f"m{number}", 3, 2), ("", ""), "x")
    asked: list[str] = []
    event.listen(database.engine.sync_engine, "before_cursor_execute", lambda *given: asked.append(given[2]))
    assert len(await records.unfinished()) == 120
    assert len([query for query in asked if query.startswith("SELECT")]) == 1
