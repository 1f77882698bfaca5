"""One instance of what leads pipelines, as a process that can be killed: CONSUL_URL DATABASE_URL FOLDER."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from services.kit.consul import Consul
from services.kit.database import Database
from tests.integration.trainer.pipelines.bench import Trainer


async def main(consul_url: str, database_url: str, folder: str) -> None:
    """Until killed."""
    async with (
        Consul(consul_url) as consul,
        Database(database_url) as database,
        Trainer(consul, database, Path(folder)),
    ):
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
