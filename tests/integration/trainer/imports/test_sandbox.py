"""The real sandbox, and programs in it that try everything to get out."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
from pathlib import Path

import pytest
from bmase.reasons import Reason

from services.kit.errors import DomainError, InvalidArgument
from services.trainer.imports import cells, sandbox
from services.trainer.imports.confine import Limits
from services.trainer.imports.formats import Format
from services.trainer.imports.request import Request
from services.trainer.imports.sandbox import Interpreter
from tests.support import attacks
from tests.support.imports import imported


def test_processes_can_be_confined_here() -> None:
    assert sandbox.available() is None


def test_nothing_that_runs_inside_gets_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_SECRET", "told")
    mark = tmp_path / "mark"
    shown = _folder(tmp_path, "attack.py", attacks.INSIDE)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port), 2):
            pass  # from outside it can be reached
        words = ["/model/attack.py", str(mark), str(port)]
        command = sandbox.command(Interpreter.own(), words, {shown: "/model"}, 32 << 20, {})
        done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
        server.settimeout(0.1)
        server.accept()  # our own
        with pytest.raises(TimeoutError):
            server.accept()
    assert done.returncode == 0, done.stderr
    tried = json.loads(done.stdout)
    assert len(tried) > 25
    assert {name: said for name, said in tried.items() if said == "CAME THROUGH"} == {}
    assert not mark.exists()


# All of them are rehearsed in unit tests.
@pytest.mark.parametrize("attack", ["a command", "a reverse shell", "a function of a package of models"])
def test_a_malicious_pickle_is_refused_by_name(tmp_path: Path, attack: str) -> None:
    mark = tmp_path / "mark"
    model = tmp_path / "model.pkl"
    model.write_bytes(attacks.pickles(mark)[attack])
    with pytest.raises(DomainError) as refused:
        imported(tmp_path / "run", model)
    assert refused.value.reason is Reason.UNSAFE_PICKLE
    assert not mark.exists()


@pytest.mark.parametrize("bomb", sorted(attacks.bombs()))
def test_allowed_names_put_to_bad_use_die_in_the_sandbox(tmp_path: Path, bomb: str) -> None:
    model = tmp_path / "model.pkl"
    model.write_bytes(attacks.bombs()[bomb])
    with pytest.raises(DomainError) as refused:
        imported(tmp_path / "run", model, memory_gib=1, seconds=5)
    assert refused.value.reason is Reason.CONVERSION_FAILED


def test_the_memory_of_the_job_bounds_who_opens_the_model(tmp_path: Path) -> None:
    """Three quarters of a GiB in a job of half a one; there is no parameter beside it."""
    model = tmp_path / "model.pkl"
    model.write_bytes(attacks.named("builtins", "bytearray", 3 << 28))
    with pytest.raises(DomainError, match=r"more memory than the 0\.5 GiB") as refused:
        imported(tmp_path / "run", model, memory_bytes=1 << 29)
    assert refused.value.reason is Reason.CONVERSION_FAILED
    assert "--memory" in refused.value.hint


def test_nobody_gets_more_memory_than_the_job_has(tmp_path: Path) -> None:
    model = tmp_path / "model.pkl"
    model.write_bytes(b"\x80\x04N.")
    with pytest.raises(InvalidArgument) as refused:
        imported(tmp_path / "run", model, memory_bytes=1 << 30, memory_gib=1.5)
    assert "1.5 GiB are more than the 1 GiB of the job" in refused.value.violations[0].description


def test_without_a_sandbox_pickles_are_not_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a machine where namespaces may not be made."""
    fake = tmp_path / "bwrap"
    fake.write_text("#!/bin/sh\necho 'bwrap: No permissions to create new namespace' >&2\nexit 1\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    sandbox.bwrap.cache_clear()
    sandbox.available.cache_clear()
    try:
        model = tmp_path / "model.pkl"
        model.write_bytes(b"\x80\x04N.")
        with pytest.raises(DomainError, match="No permissions") as refused:
            imported(tmp_path / "run", model)
        assert refused.value.reason is Reason.SANDBOX_UNAVAILABLE
    finally:
        monkeypatch.undo()
        sandbox.bwrap.cache_clear()
        sandbox.available.cache_clear()


def test_one_that_does_not_end_is_killed_with_everything_inside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = _folder(tmp_path, "cellmate.py", "import time\ntime.sleep(3600)\n")
    monkeypatch.setattr(cells, "GRACE_SECONDS", 2)
    limits = Limits(1 << 30, 1, 1 << 20)
    task = cells.Task(Request(Format.SKLEARN, "", "", limits), tmp_path, ".", None, 1 << 20, True)
    sleeping = sandbox.command(Interpreter.own(), ["/model/cellmate.py"], {shown: "/model"}, 1 << 20, {})
    monkeypatch.setattr(cells, "_confined", lambda *_: (sleeping, {}))
    begun = time.monotonic()
    with pytest.raises(DomainError, match="still at work"):
        cells.run(task, tmp_path)
    assert time.monotonic() - begun < 100
    assert not _running("cellmate.py")


def _folder(below: Path, name: str, text: str) -> Path:
    """One that nobody may enter; pytest's own it may not."""
    folder = below / "shown"
    folder.mkdir(mode=0o755)
    (folder / name).write_text(text)
    return folder


def _running(word: str) -> list[str]:
    found = []
    for each in Path("/proc").iterdir():
        if each.name.isdigit():
            try:
                words = (each / "cmdline").read_bytes().decode(errors="replace")
            except OSError:
                continue
            found += [words] if word in words and "pytest" not in words else []
    return found
