"""Tensors of model files."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import onnx
import pytest
from bmase.reasons import Reason

from services.kit.errors import DomainError
from services.trainer.reproduce.safetensors import SafetensorsFile
from services.trainer.reproduce.weights import graph_of, open_weights, read_onnx
from tests.unit.trainer.reproduce.models import WEIGHTS, model, safetensors, save_safetensors


def test_of_an_onnx_model_all_tensors_are_read_those_of_inner_graphs_too(tmp_path: Path) -> None:
    onnx.save(model(), tmp_path / "m.onnx")
    found = read_onnx(tmp_path / "m.onnx")
    assert list(found)[:2] == ["fc.weight", "fc.bias"]
    np.testing.assert_array_equal(found["fc.weight"], WEIGHTS["fc.weight"])
    inner = {name for name in found if name.endswith("/one")}
    assert inner == {"3:y/then_branch.0/one", "3:y/else_branch.0/one"}
    assert found["2:yes/value"] == np.array(True)


def test_a_graph_is_told_part_by_part_and_words_about_it_do_not_count(tmp_path: Path) -> None:
    one, same, other = model(), model(), model(last="Tanh")
    same.producer_name, same.doc_string = "another", "exported today"
    same.graph.node[0].doc_string = "line 7"
    graphs = []
    for name, made in (("one", one), ("same", same), ("other", other)):
        onnx.save(made, tmp_path / f"{name}.onnx")
        graphs.append(graph_of(read_onnx(tmp_path / f"{name}.onnx")))
    assert graphs[0] == graphs[1]
    assert [old.name for old, new in zip(graphs[0], graphs[2], strict=True) if old != new] == ["node 1:act (Relu)"]


def test_weights_in_another_file_are_read_and_named(tmp_path: Path) -> None:
    large = {**WEIGHTS, "fc.weight": np.ones((3, 4), np.float32)}
    onnx.save(model(large), tmp_path / "m.onnx", save_as_external_data=True, location="m.data", size_threshold=0)
    found = read_onnx(tmp_path / "m.onnx")
    assert found.beside == {"m.data"}
    np.testing.assert_array_equal(found["fc.weight"], large["fc.weight"])
    (tmp_path / "m.data").unlink()
    with pytest.raises(DomainError, match=r"m\.onnx cannot be read"):
        _ = found["fc.weight"]


def test_data_outside_of_the_folder_are_refused(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "secret").write_bytes(bytes(48))
    made = model()
    tensor = made.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../secret")
    (tmp_path / "model/m.onnx").write_bytes(made.SerializeToString())
    with pytest.raises(DomainError, match=r"m\.onnx cannot be read"):
        _ = read_onnx(tmp_path / "model/m.onnx")["fc.weight"]


@pytest.mark.parametrize("content", [b"", b"no model", pickle.dumps({"w": 1})])
@pytest.mark.parametrize("suffix", [".onnx", ".safetensors"])
def test_what_is_no_model_is_refused(tmp_path: Path, content: bytes, suffix: str) -> None:
    (tmp_path / f"m{suffix}").write_bytes(content)
    with pytest.raises(DomainError) as caught:
        open_weights(tmp_path / f"m{suffix}")
    assert caught.value.reason is Reason.INVALID_MODEL_FILE


def test_other_formats_have_no_tensors_by_name(tmp_path: Path) -> None:
    assert open_weights(tmp_path / "model.ubj") is None


def test_safetensors_are_read_in_the_order_of_their_data(tmp_path: Path) -> None:
    found = open_weights(save_safetensors(tmp_path / "m.safetensors"))
    assert found is not None
    assert list(found) == list(WEIGHTS)
    assert len(found) == 2
    for name, array in WEIGHTS.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].dtype == array.dtype


def test_narrow_floats_scalars_and_empty_tensors_are_read(tmp_path: Path) -> None:
    header = {
        "half": {"dtype": "BF16", "shape": [2], "data_offsets": [0, 4]},
        "none": {"dtype": "F32", "shape": [0, 3], "data_offsets": [4, 4]},
        "one": {"dtype": "I64", "shape": [], "data_offsets": [4, 12]},
    }
    content = np.array([1.5, -2], ml_dtypes.bfloat16).tobytes() + np.array(7).tobytes()
    found = SafetensorsFile(safetensors(tmp_path / "m.safetensors", header, content))
    assert found["half"].astype(np.float32).tolist() == [1.5, -2.0]
    assert (found["one"].shape, int(found["one"]), found["none"].shape) == ((), 7, (0, 3))


def entry(dtype: str = "F32", shape: Any = (2,), offsets: Any = (0, 8)) -> dict[str, Any]:
    return {"w": {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}}


@pytest.mark.parametrize(
    ("header", "why"),
    [
        (entry(dtype="PICKLE"), "type PICKLE"),
        (entry(shape=(3,)), "do not make"),
        (entry(shape=(-1, -2)), "no natural numbers"),
        (entry(shape=(2.0,)), "no natural numbers"),
        (entry(shape=(True, 2)), "no natural numbers"),
        (entry(offsets=(0, 9)), "do not make"),
        (entry(shape=(1,), offsets=(4, 8)), "begins at 4"),
        (entry(shape=(1,), offsets=(0, 4)), "the tensors have 4 bytes"),
        (entry(shape=(4,), offsets=(0, 16)), "and the file 8"),
        ({**entry(), "v": entry()["w"]}, "begins at 0"),
        (b'{"w": 1, "w": 2}', "a name twice"),
        ([], "TypeError"),
        ({"w": {}}, "dtype"),
        (b"{ not json", "JSONDecodeError"),
    ],
)
def test_headers_that_lie_are_refused(tmp_path: Path, header: Any, why: str) -> None:
    with pytest.raises(DomainError, match=why) as caught:
        SafetensorsFile(safetensors(tmp_path / "m.safetensors", header, bytes(8)))
    assert caught.value.reason is Reason.INVALID_MODEL_FILE


@pytest.mark.parametrize("length", [0, 1, 2**40, 2**64 - 1])
def test_the_length_of_a_header_is_checked_before_it_is_read(tmp_path: Path, length: int) -> None:
    (tmp_path / "m.safetensors").write_bytes(length.to_bytes(8, "little") + b"{}")
    with pytest.raises(DomainError, match="the header's length"):
        SafetensorsFile(tmp_path / "m.safetensors")
