"""Schema changes: alembic revisions in `<service>/migrations/versions/*.py`, run by the service itself at start.

Revisions only go forward; there is no downgrade. Each must work while the previous program still runs: add columns as
nullable or with a default, never rename or drop what it reads. On MariaDB a statement of DDL commits by itself, so a
revision holds one such statement (or asks first whether it is done); large tables are changed with ALGORITHM=INPLACE,
LOCK=NONE, which InnoDB supports for adding columns and indexes. On SQLite all pending revisions are one transaction.
"""

from __future__ import annotations

import importlib.util
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from bmase.reasons import Reason
from sqlalchemy import text
from sqlalchemy.engine import Connection
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.kit.database.errors import translate
from services.kit.errors import DomainError

# How long a process waits for another one that is changing the schema.
LOCK_SECONDS = 120


async def upgrade(engine: AsyncEngine, package: str, where: str) -> None:
    """Runs what is missing under a lock of the database; disposes of the engine."""
    name = package.rsplit(".", 1)[-1]
    script = ScriptDirectory(str(folder_of(package)))
    try:
        async with engine.connect() as connection, _locked(connection, name, where):
            await connection.run_sync(_run, script, f"{name}_schema", where)
    finally:
        await engine.dispose()


def folder_of(package: str) -> Path:
    """The `migrations` folder of a package."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError(f"there is no package {package} with migrations")
    return Path(next(iter(spec.submodule_search_locations))) / "migrations"


@asynccontextmanager
async def _locked(connection: AsyncConnection, name: str, where: str) -> AsyncIterator[None]:
    if connection.dialect.name == "sqlite":
        # The transaction is the lock: BEGIN IMMEDIATE waits for whoever writes.
        async with connection.begin():
            yield
            await _check_foreign_keys(connection, where)
        return
    lock = {"name": f"bmase-schema-{name}", "seconds": LOCK_SECONDS}
    got = await connection.scalar(text("SELECT GET_LOCK(CONCAT(:name, '-', MD5(DATABASE())), :seconds)"), lock)
    # Ends only the transaction; the lock belongs to the connection and falls with it.
    await connection.commit()
    if got != 1:
        raise _failed(
            where, f"another process has been changing the schema for {LOCK_SECONDS} s", "Look at that process."
        )
    yield


async def _check_foreign_keys(connection: AsyncConnection, where: str) -> None:
    broken = (await connection.execute(text("PRAGMA foreign_key_check"))).first()
    if broken:
        raise _failed(where, f"the change would leave rows of {broken[0]} without their parent", "Nothing was changed.")


def _run(connection: Connection, script: ScriptDirectory, table: str, where: str) -> None:
    def plan(revision: Any, _context: Any) -> Any:
        return script._upgrade_revs("head", revision)

    context = EnvironmentContext(Config(), script, fn=plan, destination_rev="head")
    try:
        with context:
            context.configure(connection=connection, version_table=table, transaction_per_migration=True)
            with context.begin_transaction():
                context.run_migrations()
    except CommandError as error:
        hint = "Start the program that wrote this database, or a newer one."
        raise _failed(where, f"it is not one that this program knows ({error})", hint) from error
    except SQLAlchemyError as error:
        cause = str(getattr(error, "orig", error))[:300]
        raise translate(error, where) or _failed(where, cause, "Correct the cause and start again.") from error


def _failed(where: str, cause: str, hint: str) -> DomainError:
    return DomainError(
        Reason.STORE_UNAVAILABLE, f"the schema of {where} was not brought up to date: {cause}", hint=hint
    )
