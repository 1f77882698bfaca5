"""A driver's process, from the service's side: started, heard, told to go on, ended with all that it has started."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

from services.trainer.engine import inherited, marks
from services.trainer.engine.attempt import EVENTS, INSTALLER_HOME, Go, Said, read_line

LONGEST_LINE = 2**24
TAIL = 2000  # bytes of its own words that are told when it dies
_ROOT = Path(__file__).resolve().parents[3]


class Process:
    """One driver. `mark` is in the environment of everything that it starts."""

    def __init__(
        self,
        folder: Path,
        environment: Mapping[str, str],
        mark: str,
        python: str = sys.executable,
        *,
        has_lock: bool = False,
    ) -> None:
        self._folder, self._mark, self._python = folder, mark, python
        self._module = "services.trainer.engine." + ("locked" if has_lock else "driver")
        path = os.pathsep.join([str(_ROOT), str(_ROOT / "sdk"), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
        self._environment = {**inherited.environment(), "PYTHONPATH": path, **environment, marks.MARK: mark}
        if has_lock:
            self._environment[INSTALLER_HOME] = os.environ.get("HOME", "")
        self._process: asyncio.subprocess.Process | None = None
        self._killed = False

    async def said(self) -> AsyncIterator[Said]:
        """Starts it, and gives what it says until it has ended."""
        reading, writing = os.pipe()
        os.set_inheritable(writing, True)
        pipe = os.fdopen(reading, "rb")
        try:
            self._process = await self._started(writing)
        except BaseException:
            pipe.close()
            raise
        finally:
            os.close(writing)
        if self._killed:
            self.kill()
        reader = asyncio.StreamReader(LONGEST_LINE)
        rest = asyncio.create_task(self._end_the_rest(self._process))
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), pipe
        )
        try:
            while line := await reader.readline():
                yield read_line(line)
        finally:
            rest.cancel()
            transport.close()

    async def _started(self, writing: int) -> asyncio.subprocess.Process:
        with (self._folder / "driver.log").open("wb") as log:
            return await asyncio.create_subprocess_exec(
                self._python,
                "-m",
                self._module,
                str(self._folder),
                stdin=asyncio.subprocess.PIPE,
                stdout=log,
                stderr=log,
                pass_fds=(writing,),
                start_new_session=True,
                cwd=_ROOT,
                env={**self._environment, EVENTS: str(writing)},
            )

    async def _end_the_rest(self, process: asyncio.subprocess.Process) -> None:
        """What it has forked may outlive it and hold the pipe open: nobody would hear that it has ended."""
        await process.wait()
        marks.kill(self._mark)

    @property
    def over(self) -> bool:
        """It has ended, or is to."""
        return self._killed or (self._process is not None and self._process.returncode is not None)

    async def ended(self) -> str:
        """Waits for its end; in words how it ended, with the last of its own."""
        assert self._process is not None
        code = await self._process.wait()
        marks.kill(self._mark)
        tail = _tail(self._folder / "driver.log").decode(errors="replace").strip()
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        return f"the driver's process ended with {how}" + (f": {tail}" if tail and code else "")

    async def go(self, go: Go) -> None:
        """What it waits for before it evaluates."""
        assert self._process is not None
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._process.stdin.write(go.model_dump_json().encode() + b"\n")
            await self._process.stdin.drain()

    def kill(self) -> None:
        """At once, with everything that has its mark."""
        self._killed = True
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            marks.kill(self._mark)


def _tail(file: Path) -> bytes:
    with file.open("rb") as log:
        log.seek(max(0, file.stat().st_size - TAIL))
        return log.read(TAIL)
