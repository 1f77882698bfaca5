"""The version of an explainer: what is written, what of it runs alone, and what is refused."""

from __future__ import annotations

import ast
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bmase.errors import InvalidArgument
from bmase.explaining import maker
from bmase.explaining.maker import make_explainer
from bmase.explaining.portable import requests
from bmase.explaining.portable.requests import Asked, RequestError, Setting
from bmase.registry.v1 import registry_pb2 as pb
from bmase.sources import collect
from google.protobuf import json_format, text_format
from tritonclient.grpc import model_config_pb2 as triton

HERE = "http://127.0.0.1:8080"
Make = Callable[..., Path]


def signature(shape: tuple[int, ...] = (4,), datatype: str = "FP32") -> pb.Signature:
    outputs = [pb.Tensor(name="label", datatype="INT64", shape=[1]), pb.Tensor(name="y", datatype="FP32", shape=[3])]
    return pb.Signature(inputs=[pb.Tensor(name="x", datatype=datatype, shape=shape)], outputs=outputs)


@pytest.fixture
def make(tmp_path: Path) -> Make:
    def made(**more: Any) -> Path:
        given = {"signature": signature(), "background": {"x": np.zeros((2, 4))}, "gateway": HERE} | more
        return make_explainer("digits", folder=tmp_path / "explainer", **given)

    return made


def config_of(folder: Path) -> triton.ModelConfig:
    return text_format.Parse((folder / "config.pbtxt").read_text(), triton.ModelConfig())


def test_it_is_a_directory_that_can_be_pushed(make: Make) -> None:
    found = {source.path: source.role for source in collect([make()])}
    assert {"model.py", "background.npz", "portable/shapley.py", "portable/__init__.py"} < set(found)
    assert found["config.pbtxt"] == pb.File.ROLE_CONFIG
    assert found["samples/warm-up.pb"] == pb.File.ROLE_SAMPLE


def test_it_takes_what_the_model_takes_and_gives_as_much_back(make: Make) -> None:
    config = config_of(make())
    assert (config.backend, config.max_batch_size) == ("python", 0)
    assert [(t.name, list(t.dims), t.optional) for t in config.input] == [
        ("x", [-1, 4], False),
        ("background.x", [-1, 4], True),
    ]
    assert [(t.name, list(t.dims)) for t in config.output] == [
        ("x.attribution", [-1, 4]),
        *((name, [-1, 1]) for name in maker.OWN),
    ]


def test_what_was_set_is_read_again(make: Make) -> None:
    folder = make(names={"x": ["a", "b", "c", "d"]}, method="occlusion", samples=9, patch=3)
    setting = Setting.read(json_format.MessageToDict(config_of(folder), preserving_proto_field_name=True))
    assert setting == Setting(
        model="digits", output="y", gateway=HERE, asked=Asked("occlusion", samples=9, patch=3), inputs=("x",), keep=(),
        names={"x": ("a", "b", "c", "d")},
    )  # fmt: skip


def test_the_same_gives_the_same_bytes_of_configuration_and_background(tmp_path: Path) -> None:
    rows = {"x": np.random.default_rng(0).normal(size=(50, 4))}
    one, two = (make_explainer("m", signature(), rows, HERE, tmp_path / name) for name in ("one", "two"))
    for path in ("config.pbtxt", "1/background.npz", "samples/warm-up.pb"):
        assert (one / path).read_bytes() == (two / path).read_bytes()
    with np.load(one / "1" / "background.npz") as kept:
        assert kept["x"].shape == (maker.BACKGROUND_ROWS, 4)
        assert kept["x"].dtype == np.float32


def test_a_first_dimension_of_rows_is_taken_away_for_models_without_batches(make: Make) -> None:
    folder = make(signature=_unbatched(-1), batched=False)
    assert [list(t.dims) for t in config_of(folder).input] == [[-1, 4], [-1, 4]]


def _unbatched(first: int) -> pb.Signature:
    return pb.Signature(
        inputs=[pb.Tensor(name="x", datatype="FP32", shape=[first, 4])],
        outputs=[pb.Tensor(name="y", datatype="FP32", shape=[first, 1])],
    )


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"gateway": "http://gateway.example:8080"}, "not on this machine"),
        ({"output": "label"}, "no output 'label' of floats; there are: y"),
        ({"method": "guess"}, "none of shapley, occlusion"),
        ({"keep": ["mask"]}, "no input mask; it has x"),
        ({"keep": ["x"]}, "no input is left"),
        ({"background": {"z": np.zeros((1, 4))}}, "no array 'x'; it has z"),
        ({"background": {"x": np.zeros(4)}}, r"shape \[4\], not \[rows, 4\]"),
        ({"background": {"x": np.zeros((0, 4))}}, "one at least"),
        ({"signature": signature(datatype="BF16")}, "not all can be explained"),
        ({"signature": _unbatched(7), "batched": False}, "its first dimension is not that of rows"),
        ({"samples": -1}, "samples is -1"),
    ],
)
def test_what_cannot_be_explained_is_refused_with_its_reason(make: Make, given: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidArgument, match=words):
        make(**given)


def test_what_runs_on_a_node_needs_numpy_and_the_standard_library_alone() -> None:
    allowed = {"numpy", "portable", "triton_python_backend_utils", *sys.stdlib_module_names}
    files = [*maker.PORTABLE.rglob("*.py"), maker.PORTABLE.with_name("triton_model.py")]
    for file in files:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                assert {name.name.partition(".")[0] for name in node.names} <= allowed, file
            elif isinstance(node, ast.ImportFrom) and not node.level:
                assert (node.module or "").partition(".")[0] in allowed, file


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"samples": "many"}, "whole number, not 'many'"),
        ({"output_index": -2}, "from -1"),
        ({"method": "x"}, "none of"),
        ({"samples": 10**9}, "from 0 to"),
    ],
)
def test_parameters_of_a_request_are_checked(given: dict[str, Any], words: str) -> None:
    with pytest.raises(RequestError, match=words):
        Asked().changed(given)


def test_parameters_of_others_are_left_alone() -> None:
    assert Asked().changed(json.loads('{"priority": "7", "samples": 5}')) == Asked(samples=5)


def test_a_request_may_bring_its_own_background() -> None:
    setting = Setting("m", "y", HERE, Asked(), ("x",), (), {})
    x, own, kept = np.zeros((2, 4)), np.ones((3, 4)), np.zeros((1, 4))
    inputs, background, rows = requests.arrays(setting, {"x": x, "background.x": own}, {"x": kept})
    assert (list(inputs), rows) == (["x"], 2)
    assert background["x"] is own
    with pytest.raises(RequestError, match="one at least"):
        requests.arrays(setting, {"x": x[:0]}, {"x": kept})


def test_the_highest_value_is_explained_unless_another_is_named() -> None:
    assert requests.chosen(np.array([0.1, 0.7, 0.2]), requests.TOP) == 1
    assert requests.chosen(np.array([0.1, 0.7, 0.2]), 2) == 2
    with pytest.raises(RequestError, match="has 3 values"):
        requests.chosen(np.zeros(3), 3)
