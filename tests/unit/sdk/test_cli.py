"""The command line as its users see it, without a server."""

from __future__ import annotations

import importlib.metadata
import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer
from bmase.cli import plugins
from bmase.cli.app import app, run
from bmase.cli.command import Cli, command
from typer.main import get_command

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def bmase(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Runs a command line far from any configuration; (exit code, stdout, stderr)."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.chdir(tmp_path)
    for name in list(os.environ):
        if name.startswith("BMASE_"):
            monkeypatch.delenv(name)

    def go(*arguments: str) -> tuple[int, str, str]:
        code = run(arguments)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return go


class _Entry:
    def __init__(self, name: str, load: Callable[[], Any]) -> None:
        self.name, self.load = name, load


@pytest.fixture
def plug_in(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Installs plug-ins for this test: name and what loading the entry point gives."""

    def install(**loads: Callable[[], Any]) -> None:
        entries = [_Entry(name, load) for name, load in loads.items()]
        monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: entries if group == plugins.GROUP else [])

    return install


def _every_command() -> list[list[str]]:
    def walk(group: Any, path: list[str]) -> list[list[str]]:
        return [
            leaf
            for name, found in group.commands.items()
            for leaf in (walk(found, [*path, name]) if hasattr(found, "commands") else [[*path, name]])
        ]

    return walk(get_command(app), [])


@pytest.mark.parametrize("path", _every_command(), ids=" ".join)
def test_every_command_has_help_and_json(bmase: Run, path: list[str]) -> None:
    code, out, _ = bmase(*path, "--help")
    assert code == 0
    assert "--json" in out
    # A command that says nothing about itself has only its usage before the options.
    assert len([line for line in out.splitlines() if line.startswith("  ")]) > 2


def test_help_is_there_at_once(tmp_path: Path) -> None:
    """In processor time: what a busy machine adds says nothing about us."""

    def once() -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-m", "bmase", "--help"], check=True, capture_output=True, cwd=tmp_path)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    assert min(once() for _ in range(5)) < 0.6


@pytest.mark.parametrize(
    "heavy", ["grpc", "numpy", "tritonclient", "google.protobuf", "rich.progress", "torch", "onnx"]
)
def test_the_command_line_starts_without(heavy: str) -> None:
    program = f"import bmase.cli.app, sys; sys.exit({heavy!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


@pytest.mark.parametrize("heavy", ["numpy", "tritonclient", "onnx", "rich"])
def test_the_client_starts_without(heavy: str) -> None:
    program = f"import bmase; bmase.Client; import sys; sys.exit({heavy!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_without_an_address_the_next_step_is_named(bmase: Run) -> None:
    code, out, err = bmase("models", "list")
    assert (code, out) == (2, "")
    assert "bmase up" in err
    assert "Traceback" not in err


def test_errors_are_json_where_json_is_asked_for(bmase: Run) -> None:
    for arguments in (["models", "list", "--json"], ["--json", "models", "list"]):
        code, out, err = bmase(*arguments)
        assert (code, out) == (2, "")
        assert json.loads(err)["error"]["reason"] == "NOT_CONFIGURED"


@pytest.mark.parametrize(
    "arguments",
    [["nonsense"], ["models", "lst"], ["models", "get"], ["models", "list", "--nonsense"], ["push", "m", "/nowhere"],
     ["route", "weights", "m", "x"], ["scale", "m", "1", "0"], ["undeploy", "m", "stable"],
     ["versions", "delete", "m", "stable"], ["versions", "undelete", "m", "latest"]],
)  # fmt: skip
def test_a_wrong_command_line_is_2_in_both_forms(bmase: Run, arguments: list[str]) -> None:
    code, out, err = bmase(*arguments)
    assert (code, out) == (2, "")
    assert "Error" in err
    code, out, err = bmase(*arguments, "--json")
    assert (code, out) == (2, "")
    assert json.loads(err)["error"]["reason"] == "USAGE"


def test_suggestions(bmase: Run) -> None:
    assert "'models'" in bmase("model")[2]


def test_version(bmase: Run) -> None:
    assert bmase("version", "--json")[1] == json.dumps({"version": bmase("--version")[1].strip()}, indent=2) + "\n"


def test_configuration_is_kept_shown_and_removed(bmase: Run, tmp_path: Path) -> None:
    assert bmase("config", "set", "address", "models.example.org:9")[0] == 0
    assert bmase("config", "set", "token", "sesame")[0] == 0
    code, out, err = bmase("config")
    assert code == 0
    assert "models.example.org:9" in out
    assert "sesame" not in out + err
    rows = {row["name"]: row for row in json.loads(bmase("config", "--json")[1])}
    assert rows["address"]["source"] == str(tmp_path / "config" / "bmase" / "config.toml")
    assert rows["token"]["value"] == "(set)"
    assert json.loads(bmase("--address", "a:1", "config", "show", "--json")[1])[0]["value"] == "a:1"
    assert bmase("config", "unset", "address")[0] == 0
    assert "models.example.org" not in bmase("config")[1]
    assert bmase("config", "set", "nonsense", "1")[0] == 2


def test_configuration_says_what_came_from_the_environment(bmase: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BMASE_ADDRESS", "models.example.org:9")
    monkeypatch.setenv("BMASE_TOKEN", "sesame")
    rows = {row["name"]: row for row in json.loads(bmase("--token", "other", "config", "--json")[1])}
    assert (rows["address"]["value"], rows["address"]["source"]) == ("models.example.org:9", "environment")
    assert rows["token"]["source"] == "given"
    assert "BMASE_ADDRESS" in bmase("--help")[1]


def test_a_token_is_not_sent_in_clear(bmase: Run) -> None:
    code, _, err = bmase("--address", "10.0.0.1:80", "--token", "sesame", "models", "list")
    assert code == 2
    assert "unencrypted" in err
    assert "sesame" not in err


def test_a_group_and_a_function_plug_in(bmase: Run, plug_in: Callable[..., None]) -> None:
    group = typer.Typer(help="More.")

    @command(group)
    def greet(cli: Cli, *, name: str) -> None:
        """Greet."""
        cli.out.done({"hello": name}, f"hello {name}")

    def register(target: typer.Typer) -> None:
        target.command("shout")(lambda: print("HELLO"))

    plug_in(extra=lambda: group, loud=lambda: register)
    assert bmase("extra", "greet", "you", "--json")[1] == '{\n  "hello": "you"\n}\n'
    assert bmase("shout")[1] == "HELLO\n"
    assert "extra" in bmase("--help")[1]


def test_a_broken_plug_in_breaks_nothing_and_is_named(bmase: Run, plug_in: Callable[..., None]) -> None:
    def broken() -> Any:
        raise ImportError("no module named nothing")

    plug_in(bad=broken, worse=lambda: 7)
    code, out, err = bmase("--help")
    assert code == 0
    assert "models" in out
    assert "'bad' does not load: ImportError" in err
    assert "'worse' does not load" in err
    assert bmase("version")[0] == 0
    code, _, err = bmase("bad")
    assert code == 2
    assert "does not load" in err


def test_a_plug_in_cannot_take_the_place_of_a_command(bmase: Run, plug_in: Callable[..., None]) -> None:
    def register(target: typer.Typer) -> None:
        target.command("version")(lambda: print("mine"))

    plug_in(bad=lambda: register)
    bmase("--help")
    assert bmase("version")[1] != "mine\n"


def test_interruption_and_defects(bmase: Run, plug_in: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    def register(target: typer.Typer) -> None:
        def stop() -> None:
            raise KeyboardInterrupt

        def defect() -> None:
            raise RuntimeError("oh")

        target.command("stop")(stop)
        target.command("defect")(defect)

    plug_in(bad=lambda: register)
    assert bmase("stop")[0] == 130
    code, _, err = bmase("defect")
    assert code == 1
    assert "BMASE_DEBUG=1" in err
    assert "Traceback" not in err
    monkeypatch.setenv("BMASE_DEBUG", "1")
    with pytest.raises(RuntimeError, match="oh"):
        bmase("defect")


def test_the_contract_as_a_descriptor_set(bmase: Run, tmp_path: Path) -> None:
    from google.protobuf import descriptor_pb2, descriptor_pool  # noqa: PLC0415

    assert bmase("protos", "export", "c.binpb")[0] == 0
    found = descriptor_pb2.FileDescriptorSet.FromString((tmp_path / "c.binpb").read_bytes())
    pool = descriptor_pool.DescriptorPool()
    for file in found.file:  # in the order of imports, or this fails
        pool.Add(file)
    for service in ("inference.GRPCInferenceService", "bmase.registry.v1.RegistryService"):
        assert pool.FindServiceByName(service)


def test_completion_scripts_exist(tmp_path: Path) -> None:
    environment = {**os.environ, "_BMASE_COMPLETE": "complete_bash", "COMP_WORDS": "bmase mod", "COMP_CWORD": "1"}
    ran = subprocess.run(
        [str(Path(sys.executable).parent / "bmase")], env=environment, capture_output=True, text=True, cwd=tmp_path,
        check=False,
    )  # fmt: skip
    assert "models" in ran.stdout
