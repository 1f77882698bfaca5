"""What cannot be served is refused with its reason, and everything else goes on."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from tritonclient.utils import InferenceServerException

from tests.integration.triton.test_onnx_values import infer
from tests.support import onnx_models
from tests.support.triton import Triton

ONES = np.ones((1, 4), np.float32)
AFFINE_PORTS = [("x", "FP32", [4])], [("y", "FP32", [4])]


@pytest.fixture
def neighbour(triton: Triton) -> Triton:
    """A server with a model that must not notice anything."""
    onnx_models.write_affine(triton.repository, "neighbour", 2, 1)
    triton.load("neighbour")
    return triton


REFUSED: dict[str, tuple[onnx.ModelProto | bytes, str, str]] = {
    "no ONNX at all": (b"not an onnx file", onnx_models.config_text("bad", *AFFINE_PORTS), "does not load model.onnx"),
    "a truncated graph": (
        onnx_models.affine(2, 1, width=4).SerializeToString()[:-20],
        onnx_models.config_text("bad", *AFFINE_PORTS),
        "does not load model.onnx",
    ),
    "an input the graph does not have": (
        onnx_models.affine(),
        onnx_models.config_text("bad", [("image", "FP32", [4])], [("y", "FP32", [4])]),
        "the graph has no input 'image'; it has x",
    ),
    "an output the graph does not have": (
        onnx_models.affine(),
        onnx_models.config_text("bad", [("x", "FP32", [4])], [("z", "FP32", [4])]),
        "the graph has no output 'z'; it has y",
    ),
    "another datatype": (
        onnx_models.affine(),
        onnx_models.config_text("bad", [("x", "INT64", [4])], [("y", "FP32", [4])]),
        "input 'x' is TYPE_FP32 in the graph, TYPE_INT64 in the configuration",
    ),
    "another shape": (
        onnx_models.affine(),
        onnx_models.config_text("bad", [("x", "FP32", [5])], [("y", "FP32", [4])]),
        "input 'x' has shape [-1, 4] in the graph, [-1, 5] in the configuration",
    ),
    "an input left out": (
        onnx_models.identities(["FP32", "INT64"]),
        onnx_models.config_text("bad", [("x_FP32", "FP32", [4])], [("y_FP32", "FP32", [4])]),
        "the graph needs input 'x_INT64', which the configuration does not list",
    ),
    "a level that does not exist": (
        onnx_models.affine(),
        onnx_models.config_text("bad", *AFFINE_PORTS, optimization="{ graph { level: 7 } }"),
        "optimization.graph.level is 7",
    ),
    "a thread count that is no number": (
        onnx_models.affine(),
        onnx_models.config_text(
            "bad", *AFFINE_PORTS, parameters='{ key: "intra_op_thread_count" value: { string_value: "many" } }'
        ),
        "parameter 'intra_op_thread_count' is 'many'",
    ),
}


@pytest.mark.parametrize("case", sorted(REFUSED))
def test_a_model_that_cannot_be_served_is_refused_with_its_reason(neighbour: Triton, case: str) -> None:
    made, config, reason = REFUSED[case]
    onnx_models.write(neighbour.repository, "bad", made, config)
    with pytest.raises(InferenceServerException, match="load failed") as refused:
        neighbour.load("bad")
    assert reason in refused.value.message()
    assert neighbour.ready()
    assert infer(neighbour, "neighbour", ONES).tolist() == [[3.0] * 4]


def test_a_model_folder_without_its_file_is_refused(neighbour: Triton) -> None:
    folder = onnx_models.write(
        neighbour.repository, "empty", onnx_models.affine(), onnx_models.config_text("empty", *AFFINE_PORTS)
    )
    (folder / "1" / "model.onnx").unlink()
    with pytest.raises(InferenceServerException, match="load failed"):
        neighbour.load("empty")
    assert infer(neighbour, "neighbour", ONES).tolist() == [[3.0] * 4]


def test_a_reload_serves_the_new_graph_and_leaves_others_alone(neighbour: Triton) -> None:
    onnx_models.write_affine(neighbour.repository, "changing", 1, 0)
    neighbour.load("changing")
    assert infer(neighbour, "changing", ONES).tolist() == [[1.0] * 4]
    onnx_models.write_affine(neighbour.repository, "changing", 7, 0)
    neighbour.load("changing")
    assert infer(neighbour, "changing", ONES).tolist() == [[7.0] * 4]
    assert infer(neighbour, "neighbour", ONES).tolist() == [[3.0] * 4]


def test_a_reload_that_fails_keeps_the_old_graph_serving(neighbour: Triton) -> None:
    onnx_models.write_affine(neighbour.repository, "kept", 4, 0)
    neighbour.load("kept")
    onnx_models.write(neighbour.repository, "kept", b"broken now")
    with pytest.raises(InferenceServerException, match="load failed"):
        neighbour.load("kept")
    assert infer(neighbour, "kept", ONES).tolist() == [[4.0] * 4]


def test_two_versions_answer_by_their_number(neighbour: Triton) -> None:
    for version in (1, 2):
        onnx_models.write_affine(neighbour.repository, "both", version * 10, 0, version=version)
    config = neighbour.repository / "both" / "config.pbtxt"
    config.write_text(config.read_text() + "version_policy { all { } }\n")
    neighbour.load("both")
    for version in (1, 2):
        assert infer(neighbour, "both", ONES, version=str(version)).tolist() == [[version * 10.0] * 4]


def test_options_of_nvidias_backend_are_taken(neighbour: Triton) -> None:
    said = {
        "intra_op_thread_count": "2",
        "inter_op_thread_count": "2",
        "execution_mode": "1",
        "enable_mem_arena": "0",
        "enable_mem_pattern": "0",
        "session.set_denormal_as_zero": "1",
    }
    text = "\n".join(f'parameters {{ key: "{k}" value: {{ string_value: "{v}" }} }}' for k, v in said.items())
    config = onnx_models.config_text("tuned", *AFFINE_PORTS, optimization="{ graph { level: -1 } }")
    onnx_models.write(neighbour.repository, "tuned", onnx_models.affine(6, 0), config + text)
    neighbour.load("tuned")
    assert infer(neighbour, "tuned", ONES).tolist() == [[6.0] * 4]
