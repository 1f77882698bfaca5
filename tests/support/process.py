"""A real server as a test fixture: started, waited for, stopped, killed, frozen; its log is shown when it fails."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

POLL_SECONDS = 0.05
SHOWN_LINES = 60


class ProcessFailed(AssertionError):
    """The server died or did not become ready; the message ends with its log."""


class Process:
    """One program in a process group of its own, so that signals reach its children too.

    `start` may be called again after `stop` or `kill`; the log is appended to.
    """

    def __init__(
        self,
        command: Sequence[str | Path],
        log: Path,
        *,
        name: str = "",
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> None:
        self.command = [str(word) for word in command]
        self.log = log
        self.name = name or Path(self.command[0]).name
        self._env = {**os.environ, **(env or {})}
        self._cwd = cwd
        self._popen: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The program's process id, which is also its group's."""
        assert self._popen is not None, f"{self.name} was not started"
        return self._popen.pid

    @property
    def alive(self) -> bool:
        """True while the program runs."""
        return self._popen is not None and self._popen.poll() is None

    @property
    def returncode(self) -> int | None:
        """The exit status, None while it runs."""
        return self._popen.poll() if self._popen else None

    def start(self) -> Self:
        """Starts the program without waiting for anything."""
        assert not self.alive, f"{self.name} runs already"
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self._popen = subprocess.Popen(
                self.command,
                env=self._env,
                cwd=self._cwd,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return self

    def wait_until(self, ready: Callable[[], bool], what: str, timeout: float = 60) -> Self:
        """Waits until `ready()`; fails with the log when the program dies before, or time is up."""
        deadline = time.monotonic() + timeout
        while not ready():
            if not self.alive:
                raise ProcessFailed(f"{self.name} ended with {self.returncode} before {what}\n{self.tail()}")
            if time.monotonic() > deadline:
                raise ProcessFailed(f"{self.name}: no {what} within {timeout:g} s\n{self.tail()}")
            time.sleep(POLL_SECONDS)
        return self

    def wait_port(self, port: int, timeout: float = 60) -> Self:
        """Waits until something accepts connections on the loopback port."""
        return self.wait_until(lambda: accepts(port), f"listener on port {port}", timeout)

    def wait_http(self, url: str, timeout: float = 60) -> Self:
        """Waits until a GET of `url` answers with a status below 300."""
        return self.wait_until(lambda: answers(url), f"answer from {url}", timeout)

    def wait_exit(self, timeout: float = 60) -> int:
        """Waits until the program has ended by itself; returns its status."""
        try:
            self._wait(timeout)
        except subprocess.TimeoutExpired:
            raise ProcessFailed(f"{self.name} did not end within {timeout:g} s\n{self.tail()}") from None
        assert self.returncode is not None
        return self.returncode

    def stop(self, timeout: float = 20) -> None:
        """Asks the program to end (SIGTERM), then kills what is left of its group."""
        if self.alive:
            self._popen_signal(signal.SIGCONT)
            os.kill(self.pid, signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._wait(timeout)
        self.kill()

    def kill(self) -> None:
        """SIGKILL to the whole group, at once."""
        if self._popen is not None:
            self._popen_signal(signal.SIGKILL)
            self._wait(10)

    def kill_program_only(self) -> None:
        """SIGKILL to the program alone; its children are left to notice by themselves."""
        os.kill(self.pid, signal.SIGKILL)
        self._wait(10)

    def suspend(self) -> None:
        """SIGSTOP to the group, until it took effect: it hangs, its ports stay open."""
        self._popen_signal(signal.SIGSTOP)
        deadline = time.monotonic() + 10
        while not stopped(self.pid) and time.monotonic() < deadline:
            time.sleep(0.005)

    def resume(self) -> None:
        """SIGCONT to the group."""
        self._popen_signal(signal.SIGCONT)

    def tail(self, lines: int = SHOWN_LINES) -> str:
        """The command and the last lines of the log."""
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        return f"$ {' '.join(self.command)}\n" + "\n".join(text.splitlines()[-lines:])

    def _popen_signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    def _wait(self, timeout: float) -> None:
        assert self._popen is not None
        self._popen.wait(timeout)

    def __enter__(self) -> Self:
        return self if self.alive else self.start()

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """At once: how programs end in good order is what tests of their own are about."""
        self.kill()


def accepts(port: int, host: str = "127.0.0.1") -> bool:
    """True when something accepts connections there."""
    try:
        with socket.create_connection((host, port), timeout=1):
            return True
    except OSError:
        return False


def answers(url: str) -> bool:
    """True when a GET answers with a status below 300."""
    try:
        with urllib.request.urlopen(url, timeout=2) as response:
            return bool(response.status < 300)
    except (urllib.error.URLError, OSError, ValueError):
        return False


def stopped(pid: int) -> bool:
    """Whether every thread of the process stands still."""
    states = [(task / "stat").read_text().rpartition(")")[2].split()[0] for task in Path(f"/proc/{pid}/task").iterdir()]
    return all(state in {"T", "t"} for state in states)
