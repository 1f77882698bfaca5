"""A real MariaDB server on a private data folder, and a fresh database for every test that asks."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import tempfile
from pathlib import Path

from infra.runtime import binary, ensure
from tests.support.ports import free_port
from tests.support.process import Process

ACCOUNT = "nobody"  # MariaDB does not run as root, and no system account of its own is needed
USER = "bmase"
SYSTEM_TABLES = ("mysql_system_tables.sql", "mysql_performance_tables.sql", "mysql_system_tables_data.sql")


class MariaDB:
    """One server on a fixed random port with one user that may do everything."""

    def __init__(self, folder: Path) -> None:
        ensure(["mariadb"])
        self.port = free_port()
        self.password = secrets.token_hex(8)
        # Not under `folder`: the account the server runs as may not enter a test's private folder.
        self.home = Path(tempfile.mkdtemp(prefix="bmase-mariadb-"))
        self.home.chmod(0o755)
        self.data = self.home / "data"
        self.temporary = self.home / "tmp"
        self.process = Process(self._server_command(), folder / "mariadb.log", name="mariadb")

    def start(self) -> MariaDB:
        """Starts it (again, with the data it had); the first time makes the system tables."""
        if not self.data.exists():
            self._bootstrap()
        self.process.start()
        self.process.wait_port(self.port)
        return self

    def stop(self) -> None:
        """Ends it in good order; its data stay."""
        self.process.stop()

    def kill(self) -> None:
        """kill -9."""
        self.process.kill()

    def close(self) -> None:
        """Ends it and removes its data."""
        self.process.kill()
        shutil.rmtree(self.home, ignore_errors=True)

    def url(self, database: str) -> str:
        """SQLAlchemy URL of a database."""
        return f"mysql+asyncmy://{USER}:{self.password}@127.0.0.1:{self.port}/{database}?charset=utf8mb4"

    async def fresh_database(self) -> str:
        """Makes an empty database with a new name and returns its SQLAlchemy URL."""
        import asyncmy  # noqa: PLC0415 - a driver only tests of SQL need

        name = f"test_{secrets.token_hex(6)}"
        connection = await asyncmy.connect(host="127.0.0.1", port=self.port, user=USER, password=self.password)
        try:
            async with connection.cursor() as cursor:
                await cursor.execute(f"CREATE DATABASE {name} CHARACTER SET utf8mb4 COLLATE utf8mb4_bin")
        finally:
            connection.close()
        return self.url(name)

    def _bootstrap(self) -> None:
        for folder in (self.data, self.temporary):
            folder.mkdir()
            if os.geteuid() == 0:
                shutil.chown(folder, ACCOUNT)
        share = self._prefix() / "share/mysql"
        tables = "".join((share / name).read_text(encoding="utf-8") for name in SYSTEM_TABLES)
        account = (
            "FLUSH PRIVILEGES;\n"
            f"CREATE USER '{USER}'@'%' IDENTIFIED BY '{self.password}';\n"
            f"GRANT ALL PRIVILEGES ON *.* TO '{USER}'@'%' WITH GRANT OPTION;\n"
        )
        done = subprocess.run(
            [*self._base_command(), "--bootstrap", "--skip-networking"],
            input=f"CREATE DATABASE mysql;\nUSE mysql;\n{tables}\n{account}",
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"mariadbd --bootstrap failed:\n{done.stderr[-3000:]}"

    def _base_command(self) -> list[str]:
        prefix = self._prefix()
        command = [str(binary("mariadbd")), "--no-defaults", f"--datadir={self.data}", f"--basedir={prefix}"]
        # In a folder that servers share, one that starts removes the temporary tables of the others.
        command.append(f"--tmpdir={self.temporary}")
        command += [f"--lc-messages-dir={prefix}/share/mysql", f"--character-sets-dir={prefix}/share/mysql/charsets"]
        if os.geteuid() == 0:
            command.append(f"--user={ACCOUNT}")
        return command

    def _server_command(self) -> list[str]:
        return [
            *self._base_command(),
            f"--port={self.port}",
            "--bind-address=127.0.0.1",
            f"--socket={self.data}/s",
            f"--pid-file={self.data}/pid",
            "--skip-name-resolve",
            "--character-set-server=utf8mb4",
            "--innodb-buffer-pool-size=64M",
            "--innodb-log-file-size=16M",
            "--max-connections=200",
        ]

    @staticmethod
    def _prefix() -> Path:
        """The `usr` folder the program lies in, fetched or the system's own."""
        return binary("mariadbd").resolve().parent.parent

    def __enter__(self) -> MariaDB:
        return self if self.process.alive else self.start()

    def __exit__(self, *_: object) -> None:
        self.close()
