"""The command `bmase` as a process, against a real registry."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.onnx_models import affine
from tests.support.ports import free_port
from tests.support.registry import Registry

BMASE = str(Path(sys.executable).parent / "bmase")
Bmase = Callable[..., Any]


class Failed(AssertionError):
    """The command ended with a code other than 0."""

    def __init__(self, ran: subprocess.CompletedProcess[str]) -> None:
        super().__init__(f"exit {ran.returncode}\n{ran.stdout}\n{ran.stderr}")
        self.code, self.stdout, self.stderr = ran.returncode, ran.stdout, ran.stderr


@pytest.fixture
def environment(shared_registry: Registry, tmp_path: Path) -> dict[str, str]:
    """Connected to the shared registry and without any configuration of the user."""
    return {**os.environ, "BMASE_ADDRESS": shared_registry.address, "XDG_CONFIG_HOME": str(tmp_path / "config")}


@pytest.fixture
def bmase(environment: dict[str, str], tmp_path: Path) -> Bmase:
    """Runs a command line and returns its JSON; `Failed` otherwise."""

    def go(*words: str, text: bool = False) -> Any:
        arguments = words if text else (*words, "--json")
        ran = subprocess.run(
            [BMASE, *arguments], env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
        )
        assert "Traceback" not in ran.stderr
        if ran.returncode:
            raise Failed(ran)
        return ran.stdout if text else json.loads(ran.stdout)

    return go


@pytest.fixture
def name() -> str:
    """A model that no other test knows."""
    return f"c-{uuid.uuid4().hex[:12]}"


@pytest.fixture
def model(tmp_path: Path) -> str:
    """An ONNX file."""
    file = tmp_path / "net.onnx"
    file.write_bytes(affine(2.0, uuid.uuid4().int % 1000).SerializeToString())
    return str(file)


def test_the_life_of_a_model(bmase: Bmase, name: str, model: str, tmp_path: Path) -> None:
    x = np.ones((1, 4), np.float32)
    arrays: dict[str, Any] = {"input:x": x}
    np.savez(tmp_path / "s.npz", **arrays)
    made = bmase(
        "push", name, model, "--label", "team=x", "--metric", "accuracy=0.5", "--sample", str(tmp_path / "s.npz"),
        "--alias", "stable", "--instances", "2", "--param", "intra_op_thread_count=1", "--seed", "7", "--hyper", "lr=1",
        "-d", "first",
    )  # fmt: skip
    assert made["number"] == 1
    assert made["labels"] == {"team": "x"}
    assert made["metrics"] == {"accuracy": 0.5}
    assert made["serving"]["instances"] == 2
    assert made["serving"]["dynamic_batching"] is not None
    assert made["lineage"]["seed"] == 7
    assert made["lineage"]["parameters"] == {"lr": "1"}
    assert [f["role"] for f in made["files"]].count("ROLE_SAMPLE") == 1

    assert bmase("models", "get", name)["aliases"] == {"stable": 1}
    assert [v["number"] for v in bmase("versions", "list", name)] == [1]
    assert bmase("versions", "get", name, "stable")["description"] == "first"
    assert bmase("versions", "label", name, "1", "team-", "a=b")["labels"] == {"a": "b"}
    assert bmase("models", "label", name, "a=b", "c=d")["labels"] == {"a": "b", "c": "d"}
    assert [m["name"] for m in bmase("models", "list", "-f", f'name:"{name}"')] == [f"models/{name}"]

    bmase("pull", name, "stable", "--to", "out")
    assert (tmp_path / "out" / "1" / "model.onnx").read_bytes() == Path(model).read_bytes()

    assert bmase("alias", "set", name, "next", "latest")["aliases"] == {"stable": 1, "next": 1}
    assert bmase("alias", "delete", name, "next")["aliases"] == {"stable": 1}
    bmase("alias", "delete", name, "stable")
    assert bmase("versions", "delete", name, "1")["delete_time"]
    assert bmase("versions", "list", name) == []
    assert bmase("versions", "undelete", name, "1")["delete_time"] is None
    assert bmase("models", "delete", name)["delete_time"]
    assert bmase("models", "undelete", name)["delete_time"] is None
    assert "artefacts" in bmase("gc", "--dry-run")


def test_evidence_is_pushed_listed_printed_and_saved(bmase: Bmase, name: str, model: str, tmp_path: Path) -> None:
    (tmp_path / "found" / "plots").mkdir(parents=True)
    (tmp_path / "found" / "card.md").write_text("# A card\n")
    (tmp_path / "found" / "plots" / "loss.png").write_bytes(b"\x89PNG\0")
    made = bmase("push", name, model, "--evidence", str(tmp_path / "found"))
    assert [f["role"] for f in made["files"]].count("ROLE_EVIDENCE") == 2
    assert [f["path"] for f in bmase("evidence", f"{name}@1")] == ["evidence/card.md", "evidence/plots/loss.png"]
    assert bmase("evidence", name, "card.md", text=True) == "# A card\n"
    assert bmase("evidence", f"{name}@latest", "plots", "--out", "saved") == ["saved/plots/loss.png"]
    assert (tmp_path / "saved" / "plots" / "loss.png").read_bytes() == b"\x89PNG\0"
    shown = bmase("versions", "get", name, text=True)
    assert [line.split()[0] for line in shown.splitlines() if "card.md" in line] == ["evidence"]
    with pytest.raises(Failed) as failed:
        bmase("evidence", f"{name}@1", "cards.md")
    assert failed.value.code == 3
    assert "card.md" in json.loads(failed.value.stderr)["error"]["hint"]

    bmase("pull", name, "1", "--to", "out")
    assert (tmp_path / "out" / "evidence" / "card.md").read_text() == "# A card\n"
    with pytest.raises(Failed) as failed:
        bmase("push", name, "out")
    assert json.loads(failed.value.stderr)["error"]["reason"] == "VERSION_EXISTS"
    (tmp_path / "out" / "evidence" / "card.md").write_text("# A better card\n")
    assert bmase("push", name, "out")["number"] == 2


def test_for_people_it_says_what_happened_and_what_is_next(bmase: Bmase, name: str, model: str) -> None:
    assert f"bmase deploy {name} 1" in bmase("push", name, model, text=True)
    table = bmase("models", "list", text=True)
    assert table.splitlines()[0].split() == ["MODEL", "LATEST", "VERSIONS", "ALIASES", "LABELS", "UPDATED"]
    assert any(line.startswith(name) for line in table.splitlines())
    assert "x FP32[4]" in bmase("versions", "get", name, text=True)
    assert "\x1b" not in table


@pytest.mark.parametrize(
    ("words", "code", "reason"),
    [
        (["models", "get", "no-such-model"], 3, "MODEL_NOT_FOUND"),
        (["versions", "get", "no-such-model", "7"], 3, "MODEL_NOT_FOUND"),
        (["models", "create", "Bad Name"], 2, "INVALID_FIELD"),
        (["models", "list", "--filter", "=="], 2, "INVALID_FIELD"),
        (["push", "x", "bad.onnx"], 2, "INVALID_MODEL_FILE"),
        (["push", "x", "."], 2, "INVALID_FIELD"),
    ],
)
def test_failures_have_codes_and_reasons(
    bmase: Bmase, tmp_path: Path, words: list[str], code: int, reason: str
) -> None:
    (tmp_path / "bad.onnx").write_bytes(b"\xff\xff")
    if words[-1] == ".":
        (tmp_path / "bad.onnx").unlink()
    with pytest.raises(Failed) as failed:
        bmase(*words)
    assert (failed.value.code, failed.value.stdout) == (code, "")
    assert json.loads(failed.value.stderr)["error"]["reason"] == reason
    with pytest.raises(Failed) as failed:
        bmase(*words, text=True)
    assert f"[{reason}]" in failed.value.stderr


def test_what_exists_or_is_in_use_is_4(bmase: Bmase, name: str, model: str) -> None:
    bmase("push", name, model, "--alias", "stable")
    for words in (["models", "create", name], ["versions", "delete", name, "1"], ["push", name, model]):
        with pytest.raises(Failed) as failed:
            bmase(*words)
        assert failed.value.code == 4


def test_a_push_with_an_alias_is_finished_by_the_same_command(bmase: Bmase, name: str, model: str) -> None:
    bmase("push", name, model)
    assert "exists already as version 1, next" in bmase("push", name, model, "--alias", "next", text=True)
    assert bmase("push", name, model, "--alias", "stable")["number"] == 1
    assert bmase("models", "get", name)["aliases"] == {"next": 1, "stable": 1}


def test_nobody_there_is_5(bmase: Bmase) -> None:
    with pytest.raises(Failed) as failed:
        bmase("--address", f"127.0.0.1:{free_port()}", "models", "list")
    assert failed.value.code == 5


def test_a_watch_prints_lines_of_json_and_ends_with_ctrl_c(
    environment: dict[str, str], bmase: Bmase, name: str
) -> None:
    watching = subprocess.Popen([BMASE, "watch", "--json"], env=environment, stdout=subprocess.PIPE, text=True)
    assert watching.stdout is not None
    for line in watching.stdout:
        if json.loads(line)["kind"] == "KIND_SYNCED":
            break
    bmase("models", "create", name)
    assert json.loads(watching.stdout.readline())["model"]["name"] == f"models/{name}"
    watching.send_signal(signal.SIGINT)
    assert watching.wait(10) == 130


def test_a_reader_that_goes_away_is_no_error(environment: dict[str, str], bmase: Bmase, name: str) -> None:
    watching = subprocess.Popen(
        [BMASE, "watch", "--json"], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert watching.stdout is not None
    assert watching.stderr is not None
    watching.stdout.readline()
    watching.stdout.close()
    bmase("models", "create", name)
    assert watching.wait(15) == 1
    assert watching.stderr.read() == ""


def test_a_terminal_sees_progress_and_ctrl_c_leaves_no_trace(
    environment: dict[str, str], name: str, tmp_path: Path
) -> None:
    (tmp_path / "config.pbtxt").write_text('backend: "python"\n')
    (tmp_path / "big.bin").write_bytes(os.urandom(300_000_000))
    ours, theirs = pty.openpty()
    pushing = subprocess.Popen(
        [BMASE, "push", name, "big.bin", "config.pbtxt"], env={**environment, "TERM": "xterm"}, cwd=tmp_path,
        stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
    )  # fmt: skip
    os.close(theirs)
    shown = b""
    while b"sending" not in shown:
        shown += os.read(ours, 65536)
    pushing.send_signal(signal.SIGINT)
    try:
        while block := os.read(ours, 65536):
            shown += block
    except OSError:  # the terminal is closed
        pass
    assert pushing.wait(15) == 130
    os.close(ours)
    assert b"big.bin" in shown
    assert b"Traceback" not in shown


def test_models_are_completed(environment: dict[str, str], bmase: Bmase, name: str) -> None:
    bmase("models", "create", name)

    def complete(line: str) -> list[str]:
        words = {"_BMASE_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(len(line.split()) - 1)}
        ran = subprocess.run([BMASE], env={**environment, **words}, capture_output=True, text=True, check=False)
        return ran.stdout.split()

    assert complete(f"bmase models get {name[:6]}") == [name]
    assert complete("bmase versions get no-such-mod") == []
    environment["BMASE_ADDRESS"] = f"127.0.0.1:{free_port()}"
    assert complete(f"bmase models get {name[:6]}") == []
