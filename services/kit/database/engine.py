"""The database of a service: transactions, retries, and the settings that make both kinds behave the same."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

from bmase.reasons import Reason
from sqlalchemy import URL, event, make_url
from sqlalchemy.engine import Connection
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine

from services.kit.database import migrations
from services.kit.database.errors import is_transient, translate
from services.kit.errors import DomainError

# For every table: names are compared by bytes, as SQLite does, and rows survive a crash.
TABLE_OPTIONS = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin"}

_DRIVERS = {
    "sqlite": "sqlite+aiosqlite",
    "sqlite+aiosqlite": "sqlite+aiosqlite",
    "mysql": "mysql+asyncmy",
    "mysql+asyncmy": "mysql+asyncmy",
    "mariadb": "mysql+asyncmy",
    "mariadb+asyncmy": "mysql+asyncmy",
}

ACQUIRE_SECONDS = 5.0
LOCK_SECONDS = 10
READ_SECONDS = 30.0
ATTEMPTS = 6

_MYSQL_SESSION = (
    "SET NAMES utf8mb4 COLLATE utf8mb4_bin, time_zone = '+00:00', innodb_lock_wait_timeout = 10, "
    "sql_mode = 'STRICT_ALL_TABLES,NO_ZERO_DATE,NO_ZERO_IN_DATE,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION'"
)

# Marks a transaction that only reads, so that SQLite does not take its one write lock for it.
_READS = "bmase_reads"

Result = TypeVar("Result")


class Database:
    """One pool of connections. `url` is SQLAlchemy's; it may carry a password and is never shown with it."""

    def __init__(self, url: str) -> None:
        self._url = parse_url(url)
        self.shown = self._url.render_as_string(hide_password=True)
        self.engine = make_engine(self._url)
        # SQLite begins with its write lock, which another process may hold for LOCK_SECONDS.
        self._acquire_seconds = ACQUIRE_SECONDS + (LOCK_SECONDS if is_sqlite(self._url) else 0)
        self._sessions = async_sessionmaker(self.engine, expire_on_commit=False)
        # SQLite has one writer at a time: waiting here is fair and costs nothing, waiting in SQLite is polling.
        self._writer: asyncio.Lock | None = asyncio.Lock() if is_sqlite(self._url) else None

    async def close(self) -> None:
        await self.engine.dispose()

    async def __aenter__(self) -> Database:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def migrate(self, package: str) -> None:
        """Brings the schema to the newest revision in `<package>/migrations`; many processes may do so at once."""
        with self._translated():
            await migrations.upgrade(make_engine(self._url, for_migration=True), package, self.shown)

    @contextlib.asynccontextmanager
    async def begin(self) -> AsyncIterator[AsyncSession]:
        """One transaction that may write: committed at the end, rolled back by any exception. Never nest it."""
        with self._translated():
            async with self._write_turn(), self._transaction({}) as session:
                yield session

    @contextlib.asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncSession]:
        """One transaction that only reads; it never waits for writers."""
        with self._translated():
            async with self._transaction({_READS: True}) as session:
                yield session

    async def run(self, work: Callable[[AsyncSession], Awaitable[Result]]) -> Result:
        """`work` in a transaction, again from its start after a deadlock or a lock that took too long."""
        for attempt in range(ATTEMPTS):
            try:
                async with self.begin() as session:
                    return await work(session)
            except DomainError as error:
                if attempt == ATTEMPTS - 1 or not is_transient(error.__cause__):
                    raise
            await asyncio.sleep(0.02 * 2**attempt * random.uniform(0.5, 1.5))  # noqa: S311 - spreads load, guards nothing
        raise AssertionError("the last attempt returns or raises")

    @contextlib.asynccontextmanager
    async def _transaction(self, options: dict[str, Any]) -> AsyncIterator[AsyncSession]:
        async with self._sessions() as session, session.begin():
            async with self._within(self._acquire_seconds, "no transaction"):
                await session.connection(execution_options=options)
            yield session

    @contextlib.asynccontextmanager
    async def _write_turn(self) -> AsyncIterator[None]:
        if self._writer is None:
            yield
            return
        async with self._within(READ_SECONDS, "another transaction of this process writes"):
            await self._writer.acquire()
        try:
            yield
        finally:
            self._writer.release()

    @contextlib.asynccontextmanager
    async def _within(self, seconds: float, cause: str) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(seconds):
                yield
        except TimeoutError as error:
            raise DomainError(
                Reason.STORE_UNAVAILABLE, f"the database {self.shown} does not answer: {cause} for {seconds:g} s"
            ) from error

    @contextlib.contextmanager
    def _translated(self) -> Any:
        try:
            yield
        except SQLAlchemyError as error:
            translated = translate(error, self.shown)
            if translated is None:
                raise
            raise translated from error


def parse_url(url: str) -> URL:
    """The URL with the asynchronous driver; SQLite's folder is made."""
    try:
        parsed = make_url(url)
        driver = _DRIVERS[parsed.drivername]
    except (ArgumentError, KeyError, ValueError) as error:
        raise DomainError(
            Reason.INVALID_FIELD,
            "the database URL must look like sqlite:////folder/name.db or mysql://user:password@host:3306/name",
            field="database_url",
        ) from error
    if driver == "sqlite+aiosqlite" and parsed.database and parsed.database != ":memory:":
        _make_folder(Path(parsed.database).parent)
    return parsed.set(drivername=driver)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise DomainError(
            Reason.STORE_UNAVAILABLE, f"the folder {folder} of the database cannot be made: {error.strerror}"
        ) from error


def is_sqlite(url: URL) -> bool:
    return url.drivername.startswith("sqlite")


def make_engine(url: URL, *, for_migration: bool = False) -> AsyncEngine:
    """An engine with our settings; for migrations with longer waits and, in SQLite, foreign keys checked at the end."""
    if is_sqlite(url):
        engine = create_async_engine(url, pool_size=8, max_overflow=0, pool_timeout=ACQUIRE_SECONDS)
        _prepare_sqlite(engine, for_migration)
        return engine
    engine = create_async_engine(
        url.update_query_dict({"charset": "utf8mb4"}),
        isolation_level="READ COMMITTED",
        pool_size=8,
        max_overflow=8,
        pool_timeout=ACQUIRE_SECONDS,
        pool_pre_ping=True,
        pool_recycle=1800,
        connect_args={"connect_timeout": 3} | ({} if for_migration else {"read_timeout": READ_SECONDS}),
    )
    _prepare_mysql(engine)
    return engine


def _prepare_mysql(engine: AsyncEngine) -> None:
    @event.listens_for(engine.sync_engine, "connect")
    def _connect(connection: Any, _record: Any) -> None:
        cursor = connection.cursor()
        cursor.execute(_MYSQL_SESSION)
        cursor.close()


def _prepare_sqlite(engine: AsyncEngine, for_migration: bool) -> None:
    lock_ms = 1000 * (migrations.LOCK_SECONDS if for_migration else LOCK_SECONDS)

    @event.listens_for(engine.sync_engine, "connect")
    def _connect(connection: Any, _record: Any) -> None:
        # The driver's own transactions begin late and end at DDL; ours begin where the "begin" event says.
        connection.isolation_level = None
        cursor = connection.cursor()
        for pragma in (
            f"busy_timeout = {lock_ms}",
            "journal_mode = WAL",
            "synchronous = FULL",
            f"foreign_keys = {'OFF' if for_migration else 'ON'}",
        ):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def _begin(connection: Connection) -> None:
        # A transaction that reads first and writes later could fail half way; IMMEDIATE waits at its start instead.
        reads = connection.get_execution_options().get(_READS)
        connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")
