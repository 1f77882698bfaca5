"""Where a suite lives: one data folder, and the few files in it that make it that suite."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import tempfile
import uuid
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from infra.local.errors import SuiteError

CHECKOUT = Path(__file__).resolve().parents[2]
DATA_VARIABLE = "BMASE_DATA"
# Every process of a suite carries its identity in the environment: that, not a pid, is how leftovers are recognised.
MARKER = "BMASE_SUITE_ID"
# A socket's path must fit 108 bytes, and supervisord makes it under a longer temporary name first.
SOCKET_PATH_MAX = 90


@dataclass(frozen=True)
class Place:
    """Paths of one suite. Two suites never share a data folder; a lock keeps two commands from changing one at once."""

    root: Path

    @classmethod
    def at(cls, data_dir: Path | None) -> Place:
        """The folder asked for, else `BMASE_DATA`, else `.bmase` in the checkout."""
        asked = data_dir or (Path(env) if (env := os.environ.get(DATA_VARIABLE)) else CHECKOUT / ".bmase")
        return cls(asked.expanduser().absolute())

    @property
    def run(self) -> Path:
        return self.root / "run"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def ports(self) -> Path:
        return self.root / "ports.json"

    @property
    def endpoints(self) -> Path:
        return self.root / "endpoints.json"

    @property
    def identity(self) -> Path:
        return self.root / "suite.json"

    @property
    def settings(self) -> Path:
        """Optional: a TOML file of the user's own, read by every service (`[common]`, `[registry]`, ...)."""
        return self.root / "bmase.toml"

    @property
    def supervisord_conf(self) -> Path:
        return self.run / "supervisord.conf"

    @property
    def supervisord_pid(self) -> Path:
        return self.run / "supervisord.pid"

    @property
    def socket(self) -> Path:
        """supervisord's control socket; in a short private folder when the data folder's path is too long."""
        beside = self.run / "supervisord.sock"
        if len(os.fsencode(beside)) <= SOCKET_PATH_MAX:
            return beside
        digest = hashlib.sha256(os.fsencode(self.root)).hexdigest()[:16]
        return private_temporary() / f"{digest}.sock"

    def data(self, program: str) -> Path:
        """Where a program keeps what is its own."""
        return self.root / program

    def log(self, program: str) -> Path:
        return self.logs / f"{program}.log"

    def make(self) -> None:
        """Creates the folders, readable by their owner only."""
        try:
            for folder in (self.root, self.run, self.logs):
                folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise SuiteError(
                f"the data folder {self.root} cannot be made: {error.strerror}",
                hint=f"name another with --data-dir or {DATA_VARIABLE}",
            ) from error

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """One command at a time changes a suite; the kernel drops the lock when its holder dies."""
        with (self.run / "lock").open("w") as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise SuiteError(
                    f"another command is starting or stopping the suite in {self.root}", hint="wait for it to end"
                ) from None
            yield


@dataclass(frozen=True)
class Identity:
    """What is chosen once and then stays: the suite's id, the names of its nodes, what else is part of it."""

    id: str
    nodes: tuple[str, ...]
    observed: bool = False  # with Prometheus and Alertmanager
    trains: bool = False  # with the trainer

    @classmethod
    def read(cls, place: Place) -> Identity | None:
        document = read_json(place.identity)
        if not document:
            return None
        return cls(
            str(document["id"]), tuple(document["nodes"]), bool(document.get("observed")), bool(document.get("trains"))
        )

    @classmethod
    def read_or_make(
        cls,
        place: Place,
        nodes: tuple[str, ...] | None,
        default: tuple[str, ...],
        observed: bool | None = None,
        trains: bool | None = None,
    ) -> Identity:
        """The remembered identity, with what is asked for now, written down."""
        known = cls.read(place) or cls(uuid.uuid4().hex, default)
        identity = cls(
            known.id,
            nodes or known.nodes,
            known.observed if observed is None else observed,
            known.trains if trains is None else trains,
        )
        write_json(place.identity, asdict(identity))
        return identity


def private_temporary() -> Path:
    """A short folder that only this user can enter; refuses one that somebody else made."""
    folder = Path(os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir()) / f"bmase-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    status = folder.lstat()
    if status.st_uid != os.getuid() or status.st_mode & 0o077:
        raise SuiteError(f"{folder} is not private to you", hint="remove it, or use a data folder with a shorter path")
    return folder


def read_json(path: Path) -> dict[str, Any]:
    """The document, or nothing when there is none; a damaged one is an error that names the file."""
    try:
        return dict(json.loads(path.read_text()))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise SuiteError(f"{path} cannot be read: {error}", hint="mend it or remove it; it is made anew") from error


def write_json(path: Path, document: dict[str, Any]) -> None:
    """Whole or not at all."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fresh.write_text(json.dumps(document, indent=2) + "\n")
    fresh.replace(path)
