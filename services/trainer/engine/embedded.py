"""The trainer's own Ray: started when the first job needs it, gone with the trainer."""

from __future__ import annotations

import asyncio
import contextlib
import math
import secrets
import shutil
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import structlog
from bmase.reasons import Reason

from services.kit.errors import DomainError
from services.trainer.engine import inherited, marks

log = structlog.get_logger(__name__)

STARTED_WITHIN = 120.0
_ROOT = Path(__file__).resolve().parents[3]


class EmbeddedRay:
    """One head on loopback; whoever wants to use it needs its token, which is in no file."""

    def __init__(self, folder: Path, cpus: float) -> None:
        self._folder, self._cpus = folder, cpus
        self._mark = f"ray-{folder}"
        self._token = secrets.token_hex(32)
        self._process: asyncio.subprocess.Process | None = None
        self._address = ""
        self._temporary: Path | None = None
        self._starting = asyncio.Lock()

    @property
    def environment(self) -> Mapping[str, str]:
        """Of every process that talks to it. Ray writes into its user's home otherwise."""
        home = str(self._folder / "home")
        return {
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": self._token,
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_enable_worker_prestart": "0",
            "HOME": home,
        }

    async def address(self) -> str:
        """Where it listens; starts it when it does not run. SERVICE_UNAVAILABLE when it does not start."""
        async with self._starting:
            if not self._address or self._process is None or self._process.returncode is not None:
                await self._start()
            return self._address

    async def _start(self) -> None:
        await self.close()
        marks.kill(self._mark)  # of a trainer that was killed
        (self._folder / "home").mkdir(parents=True, exist_ok=True)
        # Not in our folder: its sockets lie below, and their paths may have 107 characters.
        self._temporary = Path(tempfile.mkdtemp(prefix="bmase-ray-"))
        out = (self._folder / "ray.log").open("ab")
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "services.trainer.engine.head"),
            *("--cpus", str(max(1, math.ceil(self._cpus))), "--folder", str(self._temporary)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=out,
            start_new_session=True,
            cwd=_ROOT,
            env={**inherited.environment(), **self.environment, marks.MARK: self._mark},
        )
        out.close()
        assert self._process.stdout is not None
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(STARTED_WITHIN):
                    self._address = (await self._process.stdout.readline()).decode().strip()
        finally:
            if not self._address:  # also when the job that wanted it is cancelled: half of a Ray is none
                await self.close()
        if not self._address:
            hint = f"Its words are in {self._folder / 'ray.log'}."
            raise DomainError(Reason.SERVICE_UNAVAILABLE, "Ray did not start on this machine", hint=hint)
        log.info("ray_started", address=self._address)

    async def close(self) -> None:
        """Ends it with everything that runs on it."""
        self._address = ""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            marks.kill(self._mark)
            await self._process.wait()
            self._process = None
        if self._temporary is not None:
            await asyncio.to_thread(shutil.rmtree, self._temporary, ignore_errors=True)
            self._temporary = None
