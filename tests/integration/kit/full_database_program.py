"""Fills the disk under an SQLite database and says what became of the data."""

from __future__ import annotations

import asyncio
import json
import sys

from sqlalchemy import text

from services.kit.database import Database
from services.kit.errors import DomainError


async def names(database: Database) -> list[str]:
    async with database.read() as session:
        return list(await session.scalars(text("SELECT name FROM thing ORDER BY id")))


async def fill(database: Database) -> str:
    try:
        async with database.begin() as session:
            for n in range(2000):
                values = {"name": str(n), "note": "x" * 5000}
                await session.execute(text("INSERT INTO thing (name, note) VALUES (:name, :note)"), values)
    except DomainError as error:
        return error.reason
    return "no error"


async def add(database: Database, name: str) -> None:
    async with database.begin() as session:
        await session.execute(text("INSERT INTO thing (name) VALUES (:name)"), {"name": name})


async def main(folder: str) -> None:
    async with Database(f"sqlite:///{folder}/a.db") as database:
        await database.migrate("tests.integration.kit.sample")
        await add(database, "before")
        said: dict[str, object] = {"reason": await fill(database), "kept": await names(database)}
        await add(database, "after")
        print(json.dumps({**said, "after": await names(database)}))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
