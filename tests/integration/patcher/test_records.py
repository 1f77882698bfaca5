"""The state in SQL, on SQLite and on MariaDB."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from bmase.reasons import Reason
from sqlalchemy import Connection, LargeBinary, Text

from services.kit.database import Database
from services.kit.errors import DomainError
from services.patcher.documents import DesiredFile, FileRole, NodeInfo
from services.patcher.records import Records
from services.patcher.releases import tables as release_tables
from services.patcher.state import (
    Deployment,
    Finish,
    LearnNode,
    Leave,
    Mark,
    Phase,
    Publish,
    Published,
    Replica,
    RouteWish,
    Seat,
    SeeGateway,
    Sit,
    State,
    Transition,
    applied,
)
from services.patcher.tables import metadata
from tests.support.mariadb import MariaDB

pytestmark = pytest.mark.anyio

DIGITS = Deployment("digits", 1, digest="d1", replicas=2, pool="gpu", backend="onnxruntime", memory_bytes=2**40)
FILES = (DesiredFile(path="model.onnx", digest="sha256:1", size_bytes=5, role=FileRole.MODEL),)
FULL: list[Transition] = [
    LearnNode(NodeInfo(name="blue", grpc="h:1", capacity_bytes=2**45, backends=("python",))),
    SeeGateway("gw1", 1.5),
    Sit(Replica("digits", 1, "blue", Seat.DRAINING, deadline=7.25, since=1.0)),
    Publish("digits", Published(3, {"1": ("blue", "green")})),
]


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
def records(database: Database) -> Records:
    return Records(database)


async def test_the_schema_is_what_the_program_expects(database: Database) -> None:
    def difference(connection: Connection) -> list[object]:
        options = {
            "include_name": lambda name, kind, _: kind != "table" or name != "patcher_schema",
            # MariaDB takes the smallest of its text and binary types that holds the length; the rest must be equal.
            "compare_type": lambda *kinds: False if isinstance(kinds[4], Text | LargeBinary) else None,
        }
        return list(compare_metadata(MigrationContext.configure(connection, opts=options), metadata))

    assert release_tables.releases.metadata is metadata
    async with database.engine.connect() as connection:
        assert await connection.run_sync(difference) == []


async def test_a_state_comes_back_as_it_was_kept(records: Records) -> None:
    await records.create(DIGITS, FILES, ("", ""))
    await records.change(lambda state: applied(state, FULL))
    kept = await records.read()
    assert kept.deployments["digits", 1] == replace(DIGITS, updated=kept.deployments["digits", 1].updated)
    assert applied(State(deployments=kept.deployments), FULL) == kept
    assert await records.files(("digits", 1)) == FILES
    again = replace(
        DIGITS, phase=Phase.DRAINING, route=RouteWish.SETTLED, message="ein Wort — 語", reason="NO_CAPACITY"
    )
    await records.change(
        lambda state: applied(
            state, [Mark(again, "again"), Leave(Replica("digits", 1, "blue")), Publish("digits", Published(4, {}))]
        )
    )
    kept = await records.read()
    assert kept.replicas == {}
    assert kept.published["digits"] == Published(4, {})
    assert kept.deployments["digits", 1] == replace(again, updated=kept.deployments["digits", 1].updated)
    assert kept.deployments["digits", 1].updated > 0
    await records.change(lambda state: Finish(again).apply(state))
    assert (await records.read()).deployments == {}
    assert await records.files(("digits", 1)) == ()


async def test_a_change_that_is_refused_changes_nothing(records: Records) -> None:
    def refuse(state: State) -> State:
        raise DomainError(Reason.NODE_NOT_FOUND, "no")

    await records.create(DIGITS, FILES, ("", ""))
    before = await records.read()
    with pytest.raises(DomainError):
        await records.change(refuse)
    assert await records.read() == before


async def test_an_earlier_leader_writes_no_more(records: Records) -> None:
    await records.change(lambda state: state, fence=7)
    await records.change(lambda state: applied(state, FULL), fence=8)
    with pytest.raises(DomainError) as refused:
        await records.change(lambda state: State(), fence=7)
    assert refused.value.reason is Reason.NOT_LEADER
    assert (await records.read()).gateways == {"gw1": 1.5}
    assert await records.fence() == 8


async def test_one_request_makes_one_deployment(records: Records) -> None:
    made = [records.create(DIGITS, FILES, ("r1", "same")) for _ in range(5)]
    assert await asyncio.gather(*made) == [("digits", 1)] * 5
    other = replace(DIGITS, version=2)
    with pytest.raises(DomainError) as reused:
        await records.create(other, FILES, ("r1", "other"))
    assert reused.value.reason is Reason.REQUEST_REUSED
    with pytest.raises(DomainError) as exists:
        await records.create(DIGITS, FILES, ("r2", "same"))
    assert exists.value.reason is Reason.DEPLOYMENT_EXISTS
    assert set((await records.read()).deployments) == {("digits", 1)}


async def test_changes_at_once_are_all_kept(records: Records) -> None:
    async def see(name: str) -> None:
        await records.change(lambda state: SeeGateway(name, 1.0).apply(state))

    await asyncio.gather(*(see(f"gw{number}") for number in range(20)))
    assert len((await records.read()).gateways) == 20


async def test_names_differ_by_their_bytes(records: Records) -> None:
    for name in ("digits", "digits.", "digits-", "dìgits"):
        await records.change(lambda state, name=name: Publish(name, Published(1, {})).apply(state))  # type: ignore[misc]
    assert set((await records.read()).published) == {"digits", "digits.", "digits-", "dìgits"}
