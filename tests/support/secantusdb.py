"""A real document store that speaks MongoDB's protocol, as a process of its own."""

from __future__ import annotations

import secrets
from pathlib import Path

from infra.runtime import binary, ensure
from tests.support.ports import free_port
from tests.support.process import Process


class SecantusDB:
    """One server on a fixed random port: an address stays right through `stop`, `kill` and a new `start`."""

    def __init__(self, folder: Path) -> None:
        ensure(["secantusdb"])
        self.port = free_port()
        self.data = folder / "data"
        command: list[str | Path] = [
            *(binary("secantusdb"), "--host", "127.0.0.1", "--port", str(self.port)),
            *("--storage-path", self.data, "--standalone", "--cache-size", "64M", "--log-level", "WARNING"),
        ]
        # Away from the checkout: it reads a secantusdb.toml of the folder it is started in.
        folder.mkdir(parents=True, exist_ok=True)
        self.process = Process(command, folder / "secantusdb.log", name="secantusdb", cwd=folder)

    def start(self) -> SecantusDB:
        """Starts it (again, with the data it had)."""
        self.process.start()
        self.process.wait_port(self.port)
        return self

    def stop(self) -> None:
        """Ends it in good order; its data stay."""
        self.process.stop()

    def kill(self) -> None:
        """kill -9."""
        self.process.kill()

    def url(self, database: str = "") -> str:
        """The URL of a database, by default of a new one."""
        return f"mongodb://127.0.0.1:{self.port}/{database or 'test_' + secrets.token_hex(6)}"

    def contains(self, needle: bytes) -> list[Path]:
        """Files of its data folder in which the bytes stand."""
        return [path for path in self.data.rglob("*") if path.is_file() and needle in path.read_bytes()]

    def __enter__(self) -> SecantusDB:
        return self if self.process.alive else self.start()

    def __exit__(self, *_: object) -> None:
        self.kill()
