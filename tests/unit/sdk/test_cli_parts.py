"""Reading the command line, and writing what it prints."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from bmase.cli import exits, inputs, jsonform, parse, words
from bmase.errors import BmaseError, Conflict, InvalidArgument, NotFound, TimedOut, Unavailable
from bmase.gateway.v1 import route_pb2
from bmase.registry.v1 import registry_pb2
from PIL import Image


@dataclass
class Input:
    """What a model declares about an input."""

    datatype: str
    shape: list[int]
    name: str = "x"


@pytest.mark.parametrize(
    ("text", "declared", "values"),
    [
        ("1,2,3", Input("FP32", [-1, 3]), [[1.0, 2.0, 3.0]]),
        ("1,2,3,4", Input("FP32", [-1, 2]), [[1.0, 2.0], [3.0, 4.0]]),
        ("1", Input("INT64", [1]), [1]),
        ("1,2", Input("INT64", [-1]), [1, 2]),
        ("[[1,2]]", Input("FP32", [-1, 2]), [[1.0, 2.0]]),
        ("[1,2]", Input("FP32", [-1, 2]), [[1.0, 2.0]]),
        ("[[1,2],[3,4]]", Input("INT32", [-1, 2, 2]), [[[1, 2], [3, 4]]]),
        ("1,2,3,4", Input("FP32", [-1, -1, 2]), [[[1.0, 2.0], [3.0, 4.0]]]),
        ("true,0", Input("BOOL", [2]), [True, False]),
        ("a,b", Input("BYTES", [1]), ["a,b"]),
        ('["a","b"]', Input("BYTES", [-1]), ["a", "b"]),
        ("1e3", Input("FP64", [-1, 1]), [[1000.0]]),
        ("0.5", Input("BF16", [1]), [0.5]),
        ("7", Input("UINT8", []), 7),
    ],
)
def test_values_take_the_declared_type_and_shape(text: str, declared: Input, values: Any) -> None:
    assert inputs.from_text(text, declared).tolist() == values


@pytest.mark.parametrize(
    ("text", "declared", "message"),
    [
        ("1,2", Input("FP32", [-1, 3]), "does not fit"),
        ("[[1,2],[3]]", Input("FP32", [-1, 2]), "do not make"),
        ("[[[1,2]]]", Input("FP32", [2]), "does not fit"),
        ("x,y", Input("FP32", [2]), "not a list of FP32"),
        ("1.5", Input("INT8", [1]), "not a list of INT8"),
        ("[1.5]", Input("INT8", [1]), "whole numbers"),
        ("300", Input("UINT8", [1]), "from 0 to 255"),
        ("[-1]", Input("UINT32", [1]), "from 0"),
        ("maybe", Input("BOOL", [1]), "not a list of BOOL"),
        ("[1,", Input("FP32", [1]), "not JSON"),
        ('["a"]', Input("FP32", [1]), "do not make"),
        ("@/nowhere.npy", Input("FP32", [1]), "cannot be read"),
    ],
)
def test_values_that_do_not_fit_are_refused_by_name(text: str, declared: Input, message: str) -> None:
    with pytest.raises(InvalidArgument, match=message) as refused:
        inputs.from_text(text, declared)
    assert refused.value.field in {"x", "inputs"}


def test_documents_in_both_forms() -> None:
    assert inputs.from_document({"x": [1]}) == {"x": [1]}
    request = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 2], "data": [1, 2]}]}
    assert inputs.from_document(request)["x"].tolist() == [[1, 2]]
    with pytest.raises(InvalidArgument, match="do not fill"):
        inputs.from_document({"inputs": [{"name": "x", "shape": [3], "data": [1]}]})
    with pytest.raises(InvalidArgument, match="object"):
        inputs.from_document([1])


def test_numpy_files(tmp_path: Path) -> None:
    many: dict[str, Any] = {"input:x": np.ones(2), "output:y": np.ones(1), "z": np.zeros(1)}
    np.savez(tmp_path / "a.npz", **many)
    assert sorted(inputs.from_npz(tmp_path / "a.npz")) == ["x", "z"]
    np.save(tmp_path / "a.npy", np.ones(2, np.float32))
    assert inputs.from_text(f"@{tmp_path}/a.npy", Input("FP32", [-1, 2])).tolist() == [[1.0, 1.0]]
    with pytest.raises(InvalidArgument, match="one array"):
        inputs.from_npz(tmp_path / "a.npy")
    np.save(tmp_path / "p.npy", np.array([object()]))
    with pytest.raises(InvalidArgument, match="cannot be read"):
        inputs.from_npz(tmp_path / "p.npy")


@pytest.mark.parametrize(
    ("shape", "datatype", "expected"),
    [
        ([-1, 1, 4, 4], "FP32", (1, 1, 4, 4)),
        ([-1, 4, 4, 1], "FP32", (1, 4, 4, 1)),
        ([-1, 3, 4, 6], "FP32", (1, 3, 4, 6)),
        ([4, 6, 3], "UINT8", (4, 6, 3)),
        ([-1, 16], "FP32", (1, 16)),
        ([-1, 4, 4], "FP64", (1, 4, 4)),
        ([1, 1, 4, 4], "FP32", (1, 1, 4, 4)),
    ],
)
def test_pictures_take_the_shape_of_the_input(
    tmp_path: Path, shape: list[int], datatype: str, expected: tuple[int, ...]
) -> None:
    Image.new("RGB", (32, 32), (255, 255, 255)).save(tmp_path / "p.png")
    array = inputs.image(tmp_path / "p.png", Input(datatype, shape))
    assert array.shape == expected
    assert array.max() == array.min() == (255 if datatype == "UINT8" else 1.0)


def test_colours_and_rows_are_where_they_belong(tmp_path: Path) -> None:
    picture = Image.new("RGB", (2, 2), (0, 0, 0))
    picture.putpixel((1, 0), (255, 0, 0))  # x 1, y 0
    picture.save(tmp_path / "p.png")
    first = inputs.image(tmp_path / "p.png", Input("FP32", [-1, 3, 2, 2]))
    last = inputs.image(tmp_path / "p.png", Input("FP32", [-1, 2, 2, 3]))
    assert first[0, 0].tolist() == [[0.0, 1.0], [0.0, 0.0]]
    np.testing.assert_array_equal(last[0].transpose(2, 0, 1), first[0])


@pytest.mark.parametrize("shape", [[-1, 5], [-1, -1, -1], [-1, 2, 3, 4], [7, 1, 4, 4, 4], []])
def test_inputs_that_are_no_pictures(tmp_path: Path, shape: list[int]) -> None:
    Image.new("L", (4, 4)).save(tmp_path / "p.png")
    with pytest.raises(InvalidArgument, match="not that of a picture"):
        inputs.image(tmp_path / "p.png", Input("FP32", shape))


def test_a_file_that_is_no_picture(tmp_path: Path) -> None:
    (tmp_path / "p.png").write_text("no")
    with pytest.raises(InvalidArgument, match="not a picture"):
        inputs.image(tmp_path / "p.png", Input("FP32", [-1, 4, 4]))


def test_pairs_and_weights() -> None:
    assert parse.pairs(["a=1", "b=x=y"], "--label", str) == {"a": "1", "b": "x=y"}
    assert parse.pairs(None, "--metric", float) == {}
    assert parse.weights(["1=90", "v2=10%"]) == {1: 90, 2: 10}


@pytest.mark.parametrize(
    "read",
    [
        lambda: parse.pairs(["a"], "--label", str),
        lambda: parse.pairs(["=a"], "--label", str),
        lambda: parse.pairs(["a=x"], "--metric", float),
        lambda: parse.weights(["stable=1"]),
        lambda: parse.weights(["1=-1"]),
        lambda: parse.weights(["1"]),
        lambda: parse.duration("5 fortnights", "--timeout"),
        lambda: parse.duration("-1s", "--timeout"),
        lambda: parse.version("stable"),
    ],
)
def test_what_cannot_be_read_is_a_usage_error(read: Any) -> None:
    with pytest.raises(typer.BadParameter):
        read()


@pytest.mark.parametrize(("text", "seconds"), [("500ms", 0.5), ("5s", 5), ("2m", 120), ("1.5h", 5400), ("7", 7)])
def test_durations(text: str, seconds: float) -> None:
    assert parse.duration(text, "x") == timedelta(seconds=seconds)


def test_messages_as_json() -> None:
    model = registry_pb2.Model(name="models/m", latest_version=2**53 + 1, labels={"a": "b"}, aliases={"stable": 2})
    model.create_time.FromJsonString("2026-01-02T03:04:05.5Z")
    made = json.loads(json.dumps(jsonform.of(model)))
    assert made["latest_version"] == 2**53 + 1
    assert made["aliases"] == {"stable": 2}
    assert made["create_time"] == "2026-01-02T03:04:05.500000Z"
    assert made["delete_time"] is None
    assert made["description"] == ""


def test_nested_messages_enums_oneofs_and_structs_as_json() -> None:
    version = registry_pb2.Version(format=registry_pb2.FORMAT_ONNX)
    version.files.add(path="model.onnx", role=registry_pb2.File.ROLE_MODEL)
    version.lineage.parameters.update({"lr": 0.1})
    made = jsonform.of(version)
    assert made["format"] == "FORMAT_ONNX"
    assert made["files"][0]["role"] == "ROLE_MODEL"
    assert made["lineage"]["parameters"] == {"lr": 0.1}
    assert jsonform.of(route_pb2.Sticky(header="h")) == {"header": "h"}
    assert jsonform.of([route_pb2.Mirror(version=1)]) == [{"version": 1, "percent": 0.0}]


def test_words() -> None:
    assert [words.size(n) for n in (0, 999, 1500, 2_000_000_000)] == ["0 B", "999 B", "1.5 kB", "2.0 GB"]
    assert words.enum(registry_pb2.Version(format=registry_pb2.FORMAT_ONNX), "format") == "onnx"
    assert words.mapping({"b": 0.123456789, "a": 1}) == "a=1, b=0.123457"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (BmaseError("x"), 1),
        (InvalidArgument("x"), 2),
        (NotFound("x"), 3),
        (Conflict("x"), 4),
        (Unavailable("x"), 5),
        (TimedOut("x"), 5),
    ],
)
def test_exit_codes(error: BmaseError, code: int) -> None:
    assert exits.code_of(error) == code
