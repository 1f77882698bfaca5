"""The nodes of a Ray cluster, as they were told last; nothing while it is silent."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import structlog

from services.trainer.engine import inherited
from services.trainer.jobs.capacity import Amount

log = structlog.get_logger(__name__)

SILENT_AFTER = 15.0  # seconds without a word, after which nothing is known
AGAIN = 5.0
_ROOT = Path(__file__).resolve().parents[3]


class Cluster:
    """Asked by a process that is started again when it ends."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._nodes: dict[str, Amount] = {}
        self._heard = -SILENT_AFTER
        self._task: asyncio.Task[None] | None = None
        self.problem = ""  # why it is silent, in its own words; "" when it says nothing

    def open(self) -> None:
        """Begins to ask."""
        self._task = asyncio.create_task(self._run(), name="cluster")

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    @property
    def nodes(self) -> Mapping[str, Amount] | None:
        """By Ray's ids of them; None while the cluster is silent."""
        return self._nodes if time.monotonic() - self._heard < SILENT_AFTER else None

    def hear(self, line: bytes) -> None:
        """One line of who is asked. What is none of its own changes nothing: Ray prints, too."""
        try:
            told = json.loads(line)
        except ValueError:
            log.warning("cluster_noise", address=self._address, line=line[:200].decode(errors="replace"))
            return
        self.problem = told.get("problem", "")
        if "nodes" in told:
            self._nodes = {name: Amount(**amount) for name, amount in told["nodes"].items()}
            self._heard = time.monotonic()

    async def _run(self) -> None:
        while True:
            await self._ask()
            log.warning("cluster_silent", address=self._address, problem=self.problem)
            await asyncio.sleep(AGAIN)

    async def _ask(self) -> None:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "services.trainer.engine.nodes", self._address),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            cwd=_ROOT,
            env=inherited.environment(),
        )
        assert process.stdout is not None
        try:
            while line := await process.stdout.readline():
                self.hear(line)
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
