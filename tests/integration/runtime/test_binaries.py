"""The real binaries: they run, come once, survive kills while they come, and need no network afterwards."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from infra.runtime import binary, ensure
from infra.runtime.layout import CHECKOUT

# Smallest pinned item, into folders of the test's own: the checkout's `.runtime/` is not touched.
FETCH = (
    "import sys; from pathlib import Path;"
    "from infra.runtime.bring import bring; from infra.runtime.layout import Layout;"
    "print(bring([sys.argv[3]], Layout(Path(sys.argv[1]), Path(sys.argv[2])))[sys.argv[4]])"
)


def fetch(cache: Path, runtime: Path, item: str = "nats", program: str = "nats-server") -> subprocess.Popen[str]:
    """Starts a process that brings an item."""
    return subprocess.Popen(
        [sys.executable, "-c", FETCH, str(cache), str(runtime), item, program],
        cwd=CHECKOUT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def finished(process: subprocess.Popen[str]) -> Path:
    """The program a fetching process reports."""
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    return Path(out.strip())


VERSIONS = {
    "envoy": (["--version"], "/1.40.0/"),
    "consul": (["version"], "Consul v1.8.7"),
    "nats-server": (["--version"], "v2.15.1"),
    "weed": (["version"], "4.48"),
    "buf": (["--version"], "1.75.0"),
    "mariadbd": (["--no-defaults", "--version"], "MariaDB"),
    "h2load": (["--version"], "h2load nghttp2/"),
    "nginx": (["-v"], "nginx version"),
    "secantusdb": (["--help"], "--storage-path"),
    "prometheus": (["--version"], "prometheus, version 2."),
    "promtool": (["--version"], "promtool, version 2."),
    "java": (["-version"], 'openjdk version "17.'),
    "prometheus-alertmanager": (["--version"], "alertmanager, version 0."),
}


@pytest.mark.parametrize("program", sorted(VERSIONS))
def test_a_program_runs_and_says_its_version(program: str) -> None:
    arguments, version = VERSIONS[program]
    ensure([program])
    done = subprocess.run([binary(program), *arguments], capture_output=True, text=True, check=True, timeout=30)
    assert version in done.stdout + done.stderr


def test_no_fetched_program_misses_a_library() -> None:
    ensure([*VERSIONS, "triton"])
    for program in (*VERSIONS, "tritonserver"):
        file, env = elf(binary(program).resolve())
        listed = subprocess.run(["ldd", file], env=env, capture_output=True, text=True, check=False)
        assert "not found" not in listed.stdout, f"{program}:\n{listed.stdout}"


def elf(program: Path) -> tuple[Path, dict[str, str]]:
    """The program itself and its environment, when `program` is a starter with libraries of its own."""
    real = program.with_name(program.name + ".real")
    if not real.exists():
        return program, dict(os.environ)
    return real, {**os.environ, "LD_LIBRARY_PATH": str(program.parents[2] / "usr/lib/x86_64-linux-gnu")}


def test_two_processes_at_once_fetch_one_whole_item(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    checkouts = [tmp_path / "one", tmp_path / "two"]
    processes = [fetch(cache, checkout) for checkout in checkouts]
    programs = [finished(process) for process in processes]
    assert programs == [checkout / "bin/nats-server" for checkout in checkouts]
    assert programs[0].resolve() == programs[1].resolve()
    assert len(list((cache / "items").iterdir())) == 1
    assert not list((cache / "partial").iterdir())


@pytest.mark.parametrize("seconds", [0.3, 0.8, 1.3, 1.8])
def test_a_kill_while_fetching_leaves_nothing_half(tmp_path: Path, seconds: float) -> None:
    cache, runtime = tmp_path / "cache", tmp_path / "runtime"
    killed = fetch(cache, runtime)
    time.sleep(seconds)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.communicate()
    program = finished(fetch(cache, runtime))
    done = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)
    assert "v2.15.1" in done.stdout
    assert not list((cache / "partial").iterdir())


def test_what_is_cached_needs_neither_network_nor_tools(tmp_path: Path) -> None:
    """Without pip, apt or anything else on PATH, and quickly enough to stand in front of every command."""
    ensure()
    before = os.times()
    done = subprocess.run(
        [sys.executable, "-m", "infra.runtime", "ensure"],
        cwd=CHECKOUT,
        env={**{k: v for k, v in os.environ.items() if k in ("HOME", "BMASE_CACHE", "XDG_CACHE_HOME")}, "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    after = os.times()
    assert done.returncode == 0, done.stderr
    took = after.children_user + after.children_system - before.children_user - before.children_system
    assert took < 0.6, f"{took:.2f} s of processor time; 0.2 s when this was written"


def test_the_command_line_finds_and_lists_programs() -> None:
    ensure(["envoy"])
    command = [sys.executable, "-m", "infra.runtime"]
    found = subprocess.run([*command, "path", "envoy"], cwd=CHECKOUT, capture_output=True, text=True, check=True)
    assert Path(found.stdout.strip()) == binary("envoy")
    listed = subprocess.run([*command, "list"], cwd=CHECKOUT, capture_output=True, text=True, check=True).stdout
    assert any(line.split()[:2] == ["envoy", "1.40.0"] and line.endswith("here") for line in listed.splitlines())
    wrong = subprocess.run([*command, "path", "envoi"], cwd=CHECKOUT, capture_output=True, text=True, check=False)
    assert wrong.returncode == 1
    assert wrong.stderr.startswith("error: no runtime item is called 'envoi'")


def test_tritons_python_has_the_numpy_its_backend_can_work_with() -> None:
    ensure(["triton"])
    python = CHECKOUT / ".runtime/triton-python/bin/python"
    script = "import numpy, onnxruntime; print(numpy.__version__, onnxruntime.__version__)"
    done = subprocess.run([python, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1.26.4", "1.31.1"]
