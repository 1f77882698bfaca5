"""Load from another process: a program of this package that writes a line for each answer."""

from __future__ import annotations

import subprocess
import sys
import threading
from dataclasses import dataclass, field

from infra.local.place import CHECKOUT

STOP_SECONDS = 30
LATEST = 5_000  # answers that a question about the last seconds looks at


@dataclass(frozen=True)
class Answer:
    """One line of the load: when sent and answered (monotonic), which version (0: none), OK or what went wrong."""

    sent: float
    done: float
    version: int
    status: str


@dataclass
class Load:
    """The other process; its answers as they come."""

    process: subprocess.Popen[str]
    answers: list[Answer] = field(default_factory=list)

    @classmethod
    def start(cls, module: str, *arguments: object) -> Load:
        """Runs `python -m MODULE ARGUMENTS`."""
        command = [sys.executable, "-m", module, *map(str, arguments)]
        load = cls(subprocess.Popen(command, cwd=CHECKOUT, stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True))
        threading.Thread(target=load._read, daemon=True).start()
        return load

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            sent, done, version, status = line.split(maxsplit=3)
            self.answers.append(Answer(float(sent), float(done), int(version), status.strip()))

    def since(self, moment: float) -> list[Answer]:
        """Of the latest answers those that were sent after a moment."""
        return [answer for answer in self.answers[-LATEST:] if answer.sent >= moment]

    def stop(self) -> None:
        """Closing its input tells it to finish what is under way."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(STOP_SECONDS)
