"""The database kit, the same tests on SQLite and on a real MariaDB."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from bmase.reasons import Reason
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, IntegrityError, ProgrammingError
from sqlalchemy.ext.asyncio import AsyncSession

from services.kit.database import Database, is_duplicate
from services.kit.errors import DomainError
from tests.support.mariadb import MariaDB
from tests.support.ports import free_port
from tests.support.smalldisk import run_on_small_disk

pytestmark = pytest.mark.anyio

SAMPLE = "tests.integration.kit.sample"
PROGRAM = Path(__file__).with_name("full_database_program.py")
MIGRATE = """
import asyncio, sys
from services.kit.database import Database
asyncio.run(Database(sys.argv[1]).migrate(sys.argv[2]))
"""


@pytest.fixture(scope="module")
def mariadb(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MariaDB]:
    with MariaDB(tmp_path_factory.mktemp("mariadb")) as server:
        yield server


@pytest.fixture(params=["sqlite", "mariadb"])
async def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/folder/name.db"
    return await request.getfixturevalue("mariadb").fresh_database()


@pytest.fixture
async def database(url: str) -> AsyncIterator[Database]:
    async with Database(url) as opened:
        await opened.migrate(SAMPLE)
        yield opened


async def add(session: AsyncSession, name: str) -> None:
    await session.execute(text("INSERT INTO thing (name) VALUES (:name)"), {"name": name})


async def names(database: Database) -> list[str]:
    async with database.read() as session:
        return list(await session.scalars(text("SELECT name FROM thing ORDER BY id")))


async def ping(database: Database) -> None:
    async with database.read() as session:
        await session.execute(text("SELECT 1"))


async def test_a_transaction_is_kept_whole_or_not_at_all(database: Database) -> None:
    async with database.begin() as session:
        await add(session, "kept")

    async def fails() -> None:
        async with database.begin() as session:
            await add(session, "lost")
            raise RuntimeError("half way")

    with pytest.raises(RuntimeError, match="half way"):
        await fails()
    assert await names(database) == ["kept"]


async def test_names_are_compared_by_bytes(database: Database) -> None:
    different = ["a", "A", "ä", "😀", "\u0061\u0308"]
    async with database.begin() as session:
        for name in different:
            await add(session, name)
    assert await names(database) == different
    async with database.read() as session:
        assert await session.scalar(text("SELECT COUNT(*) FROM thing WHERE name = :name"), {"name": "A"}) == 1
        assert not await session.scalar(text("SELECT 'a' = 'A'"))


async def test_a_duplicate_is_told_from_other_broken_constraints(database: Database) -> None:
    async with database.begin() as session:
        await add(session, "a")
    broken = {"INSERT INTO thing (name) VALUES ('a')": True, "INSERT INTO part (thing_id) VALUES (99)": False}
    broken["INSERT INTO thing (id, name) VALUES (1, 'b')"] = True
    broken["INSERT INTO thing (name) VALUES (NULL)"] = False
    for statement, duplicate in broken.items():
        with pytest.raises(IntegrityError) as refused:
            async with database.begin() as session:
                await session.execute(text(statement))
        assert is_duplicate(refused.value) is duplicate, statement


async def test_too_long_a_value_is_never_cut_in_silence(database: Database) -> None:
    """SQLite keeps it whole, MariaDB refuses: neither may store something else."""
    long = "x" * 65
    with contextlib.suppress(DBAPIError):
        async with database.begin() as session:
            await add(session, long)
    assert await names(database) == ([long] if database.engine.dialect.name == "sqlite" else [])


async def test_concurrent_increments_lose_nothing(url: str, database: Database) -> None:
    async with database.begin() as session:
        await add(session, "counter")
    lock = "" if database.engine.dialect.name == "sqlite" else " FOR UPDATE"

    async def increment(session: AsyncSession) -> None:
        count = await session.scalar(text(f"SELECT count FROM thing WHERE name = 'counter'{lock}"))
        await asyncio.sleep(0)
        await session.execute(text("UPDATE thing SET count = :count WHERE name = 'counter'"), {"count": count + 1})

    async with Database(url) as other:
        await asyncio.gather(*(each.run(increment) for each in (database, other) for _ in range(40)))
    async with database.read() as session:
        assert await session.scalar(text("SELECT count FROM thing")) == 80


async def test_a_deadlock_is_run_again(database: Database) -> None:
    async with database.begin() as session:
        await add(session, "a")
        await add(session, "b")
    attempts = 0

    async def both(first: str, second: str) -> None:
        async def work(session: AsyncSession) -> None:
            nonlocal attempts
            attempts += 1
            for name in (first, second):
                await session.execute(text("UPDATE thing SET count = count + 1 WHERE name = :name"), {"name": name})
                await asyncio.sleep(0.2)

        await database.run(work)

    await asyncio.gather(both("a", "b"), both("b", "a"))
    async with database.read() as session:
        assert list(await session.scalars(text("SELECT count FROM thing"))) == [2, 2]
    assert attempts >= (3 if database.engine.dialect.name == "mysql" else 2)


async def test_work_that_fails_for_another_reason_is_not_run_again(database: Database) -> None:
    attempts = 0

    async def work(session: AsyncSession) -> None:
        nonlocal attempts
        attempts += 1
        await add(session, "a")
        raise LookupError("no such thing")

    with pytest.raises(LookupError):
        await database.run(work)
    assert attempts == 1
    assert await names(database) == []


async def test_readers_do_not_wait_for_a_writer(database: Database) -> None:
    async with database.begin() as session:
        await add(session, "a")
        async with asyncio.timeout(2):
            assert await names(database) == []
    assert await names(database) == ["a"]


async def test_a_cancelled_transaction_leaves_a_working_pool(database: Database) -> None:
    async def writes() -> None:
        async with database.begin() as session:
            await add(session, "cancelled")
            await asyncio.sleep(60)

    tasks = [asyncio.create_task(writes()) for _ in range(4)]
    await asyncio.sleep(0.3)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    async with asyncio.timeout(5):
        await asyncio.gather(*(names(database) for _ in range(30)))
    assert await names(database) == []


async def test_a_defect_in_a_statement_is_not_taken_for_a_database_that_is_away(database: Database) -> None:
    with pytest.raises(Exception, match="nowhere") as raised:
        async with database.read() as session:
            await session.execute(text("SELECT * FROM nowhere"))
    assert not isinstance(raised.value, DomainError)


async def test_many_processes_may_migrate_at_once(url: str) -> None:
    environment = {**os.environ, "PYTHONPATH": "."}
    processes = [
        subprocess.Popen([sys.executable, "-c", MIGRATE, url, SAMPLE], env=environment, stderr=subprocess.PIPE)
        for _ in range(3)
    ]
    for process in processes:
        _, errors = await asyncio.to_thread(process.communicate, timeout=60)
        assert process.returncode == 0, errors.decode()
    async with Database(url) as database:
        await database.migrate(SAMPLE)
        async with database.read() as session:
            assert list(await session.scalars(text("SELECT version_num FROM sample_schema"))) == ["0003"]
        async with database.begin() as session:
            await session.execute(text("INSERT INTO thing (name, note) VALUES ('a', 'b')"))


async def test_a_schema_of_a_newer_program_is_refused_untouched(database: Database) -> None:
    async with database.begin() as session:
        await session.execute(text("UPDATE sample_schema SET version_num = '9999'"))
    with pytest.raises(DomainError, match="9999") as refused:
        await database.migrate(SAMPLE)
    assert refused.value.reason is Reason.STORE_UNAVAILABLE
    assert "newer" in refused.value.hint
    async with database.read() as session:
        assert await session.scalar(text("SELECT version_num FROM sample_schema")) == "9999"


async def test_a_failing_migration_says_why_and_can_be_repeated(database: Database) -> None:
    async with database.begin() as session:
        await session.execute(text("UPDATE sample_schema SET version_num = '0002'"))
    with pytest.raises(DomainError, match=r"(?i)duplicate column") as refused:
        await database.migrate(SAMPLE)
    assert refused.value.reason is Reason.STORE_UNAVAILABLE
    async with database.begin() as session:
        await session.execute(text("ALTER TABLE thing DROP COLUMN note"))
    await database.migrate(SAMPLE)
    async with database.read() as session:
        assert await session.scalar(text("SELECT version_num FROM sample_schema")) == "0003"


async def test_a_stopped_mariadb_is_an_error_and_then_works_again(mariadb: MariaDB) -> None:
    async with Database(await mariadb.fresh_database()) as database:
        await ping(database)
        await asyncio.to_thread(mariadb.kill)
        with pytest.raises(DomainError) as away:
            await ping(database)
        assert away.value.reason is Reason.STORE_UNAVAILABLE
        assert mariadb.password not in str(away.value)
        await asyncio.to_thread(mariadb.start)
        await ping(database)


async def test_a_frozen_mariadb_is_an_error_in_seconds(mariadb: MariaDB) -> None:
    async with Database(await mariadb.fresh_database()) as database:
        await ping(database)
        mariadb.process.suspend()
        started = time.monotonic()
        try:
            with pytest.raises(DomainError, match="does not answer") as frozen:
                await ping(database)
        finally:
            mariadb.process.resume()
        assert frozen.value.reason is Reason.STORE_UNAVAILABLE
        assert time.monotonic() - started < 7
        await ping(database)


@pytest.mark.parametrize(
    "url",
    ["mysql://bmase:hunter2@127.0.0.1:{port}/x", "mysql://bmase:hunter2@127.0.0.1:{mariadb}/x"],
    ids=["port", "user"],
)
async def test_a_database_that_refuses_is_named_without_its_password(mariadb: MariaDB, url: str) -> None:
    async with Database(url.format(port=free_port(), mariadb=mariadb.port)) as database:
        with pytest.raises(DomainError) as refused:
            await ping(database)
        assert refused.value.reason is Reason.STORE_UNAVAILABLE
        assert "hunter2" not in str(refused.value)


async def test_a_locked_sqlite_file_is_an_error_and_then_works_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.kit.database.engine.LOCK_SECONDS", 1)
    monkeypatch.setattr("services.kit.database.engine.ATTEMPTS", 2)
    async with Database(f"sqlite:///{tmp_path}/a.db") as database:
        await database.migrate(SAMPLE)
        other = sqlite3.connect(tmp_path / "a.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        assert await names(database) == []
        with pytest.raises(DomainError, match="locked by other transactions") as locked:
            await database.run(lambda session: add(session, "a"))
        assert locked.value.reason is Reason.STORE_UNAVAILABLE
        other.execute("ROLLBACK")
        await database.run(lambda session: add(session, "a"))
        assert await names(database) == ["a"]


async def test_a_file_that_is_no_database_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.db").write_bytes(b"this is not a database file at all" * 100)
    async with Database(f"sqlite:///{tmp_path}/a.db") as database:
        with pytest.raises(DomainError, match="not a database") as refused:
            await database.migrate(SAMPLE)
    assert refused.value.reason is Reason.STORE_UNAVAILABLE


async def test_a_full_disk_is_an_error_and_nothing_is_lost() -> None:
    said = await asyncio.to_thread(run_on_small_disk, PROGRAM, "1m")
    assert said == {"reason": "STORAGE_FULL", "kept": ["before"], "after": ["before", "after"]}


async def test_programming_errors_of_mariadb_stay_visible(mariadb: MariaDB) -> None:
    async with Database(await mariadb.fresh_database()) as database:
        with pytest.raises(ProgrammingError):
            async with database.read() as session:
                await session.execute(text("SELEC 1"))
