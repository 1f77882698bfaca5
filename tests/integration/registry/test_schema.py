"""The migrations give the tables that the program speaks to, on every database."""

from __future__ import annotations

from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy.engine import Connection

from services.kit.database import Database
from services.registry.tables import metadata
from tests.support.mariadb import MariaDB

pytestmark = pytest.mark.anyio


def differences(connection: Connection) -> list[object]:
    """What an automatic migration would change, but for the table that counts migrations.

    MariaDB gives a BLOB of 2^24 - 1 bytes the name MEDIUMBLOB, which is no difference.
    """
    found = compare_metadata(MigrationContext.configure(connection, opts={"compare_type": True}), metadata)
    return [change for change in found if "registry_schema" not in str(change) and "MEDIUMBLOB" not in str(change)]


@pytest.fixture(params=["sqlite", "mariadb"])
async def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/registry.db"
    server: MariaDB = request.getfixturevalue("mariadb")
    return await server.fresh_database()


async def test_migrations_and_tables_agree(url: str) -> None:
    async with Database(url) as database:
        for _ in range(2):
            await database.migrate("services.registry")
        async with database.engine.connect() as connection:
            assert await connection.run_sync(differences) == []


async def test_a_migration_that_was_cut_off_is_taken_up(url: str) -> None:
    async with Database(url) as database:
        await database.migrate("services.registry")
        async with database.engine.begin() as connection:
            for statement in (
                "DROP TABLE changes",
                "DROP TABLE revisions",
                "DELETE FROM registry_schema",
                "DROP INDEX answers_by_create_time" + (" ON answers" if "mysql" in url else ""),
            ):
                await connection.exec_driver_sql(statement)
        await database.migrate("services.registry")
        async with database.engine.connect() as connection:
            assert await connection.run_sync(differences) == []
            assert (await connection.exec_driver_sql("SELECT last FROM revisions")).scalar() == 0
