"""The ONNX backend's decisions: which requests share a run, what a graph looks like to Triton."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from infra.runtime.layout import CHECKOUT

sys.path.insert(0, str(CHECKOUT / "infra/triton/backends/onnxruntime"))  # where Triton puts it, too

import ort_batch
import ort_bfloat
from ort_graph import Graph, GraphError, Port, check, chosen_batch_size


class Runs:
    """y = 2 x, refusing negative rows; counts its runs."""

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def __call__(self, feed: ort_batch.Feed) -> Sequence[np.ndarray]:
        self.sizes.append(len(feed["x"]))
        if (feed["x"] < 0).any():
            raise ValueError("negative")
        return [feed["x"] * 2, feed["x"] + 1]


def rows(*values: float) -> dict[str, np.ndarray]:
    """One request."""
    return {"x": np.array([[v] for v in values], np.float32)}


def test_a_group_is_one_run_and_is_cut_back_into_requests() -> None:
    run = Runs()
    outcomes = ort_batch.run_group(run, [rows(1), rows(2, 3), rows(4)])
    assert run.sizes == [4]
    assert [[a.ravel().tolist() for a in o] for o in outcomes if not isinstance(o, Exception)] == [
        [[2], [2]],
        [[4, 6], [3, 4]],
        [[8], [5]],
    ]


def test_when_a_group_fails_each_request_gets_its_own_answer() -> None:
    run = Runs()
    outcomes = ort_batch.run_group(run, [rows(1), rows(-1), rows(3)])
    assert run.sizes == [3, 1, 1, 1]
    assert isinstance(outcomes[1], ValueError)
    assert [o[0].tolist() for o in outcomes if not isinstance(o, Exception)] == [[[2]], [[6]]]


def test_outputs_that_are_no_rows_are_computed_for_each_request() -> None:
    outcomes = ort_batch.run_group(lambda feed: [feed["x"].sum(axis=0)], [rows(1), rows(2)])
    assert [o[0].tolist() for o in outcomes if not isinstance(o, Exception)] == [[1], [2]]


def test_inputs_of_one_request_with_different_batches_are_left_to_the_graph_to_judge() -> None:
    uneven = {"x": np.zeros((1, 1)), "z": np.zeros((2, 1))}
    outcomes = ort_batch.run_group(lambda feed: [feed["x"]], [uneven, {"x": np.zeros((1, 1)), "z": np.zeros((1, 1))}])
    assert [o[0].shape for o in outcomes if not isinstance(o, Exception)] == [(1, 1), (1, 1)]


def test_requests_share_a_run_only_when_shapes_and_inputs_are_the_same() -> None:
    feeds = {
        0: {"x": np.zeros((1, 2))},
        1: {"x": np.zeros((1, 3))},
        3: {"x": np.zeros((5, 2))},
        4: {"x": np.zeros((1, 2)), "k": np.zeros((1, 2))},
    }
    assert ort_batch.group(feeds) == [[0, 3], [1], [4]]


class Arg:
    """An onnxruntime NodeArg."""

    def __init__(self, name: str, kind: str, shape: list[Any]) -> None:
        self.name, self.type, self.shape = name, kind, shape


def test_a_port_reads_as_triton_writes_it() -> None:
    port = Port.of(Arg("x", "tensor(float16)", ["batch", None, 3]))
    assert port.config(batched=True) == {"name": "x", "data_type": "TYPE_FP16", "dims": [-1, 3]}
    assert port.config(batched=False)["dims"] == [-1, -1, 3]


def test_scalars_are_one_element_to_clients() -> None:
    assert Port("x", "TYPE_FP32", ()).config(batched=False)["dims"] == [1]
    assert Port("x", "TYPE_FP32", (-1,)).config(batched=True)["reshape"] == {"shape": []}


def test_a_type_the_protocol_has_not_is_refused() -> None:
    with pytest.raises(GraphError, match=r"'x' is tensor\(float8e4m3fn\), which the inference protocol cannot carry"):
        Port.of(Arg("x", "tensor(float8e4m3fn)", [1]))


def graph(*shapes: tuple[int, ...]) -> Graph:
    """One input and one output of these shapes."""
    return Graph((Port("x", "TYPE_FP32", shapes[0]),), (), (Port("y", "TYPE_FP32", shapes[1]),))


@pytest.mark.parametrize(
    ("shapes", "config", "size"),
    [
        (((-1, 4), (-1, 2)), {}, 4),
        (((-1, 4), (-1, 2)), {"max_batch_size": 16}, 16),
        (((-1, 4), (3, 2)), {}, 0),
        (((-1,), (-1,)), {}, 0),
        (((-1, 4), (-1, 2)), {"input": [{}]}, 0),
    ],
)
def test_the_batch_size_a_bare_configuration_gets(shapes: tuple[Any, ...], config: dict[str, Any], size: int) -> None:
    assert chosen_batch_size(graph(*shapes), config) == size


def entry(name: str, data_type: str = "TYPE_FP32", dims: Sequence[Any] = ("4",)) -> dict[str, Any]:
    """A configuration's port; Triton writes dimensions as strings."""
    return {"name": name, "data_type": data_type, "dims": list(dims)}


@pytest.mark.parametrize(
    ("config", "complaint"),
    [
        ({"input": [entry("x")], "output": [entry("y")]}, None),
        ({"input": [entry("x", dims=["-1"])], "output": [entry("y")]}, None),
        ({"input": [entry("q")], "output": [entry("y")]}, "the graph has no input 'q'; it has x"),
        ({"input": [entry("x")], "output": [entry("q")]}, "the graph has no output 'q'; it has y"),
        ({"input": [entry("x", "TYPE_INT8")], "output": []}, "input 'x' is TYPE_FP32 in the graph, TYPE_INT8 in the"),
        ({"input": [entry("x", dims=["4", "4"])], "output": []}, r"input 'x' has shape \[-1, 4\] in the graph"),
        ({"input": [], "output": []}, "the graph needs input 'x'"),
    ],
)
def test_a_configuration_that_contradicts_its_graph(config: dict[str, Any], complaint: str | None) -> None:
    config = {"max_batch_size": 8, **config}
    if complaint is None:
        check(graph((-1, 4), (-1, 4)), config)
        return
    with pytest.raises(GraphError, match=complaint):
        check(graph((-1, 4), (-1, 4)), config)


def test_bf16_bits_survive_the_way_out_and_back() -> None:
    bits = np.array([[0x3F80, 0x7FC0], [0x8000, 0x0001]], np.uint16)

    class Tensor:
        """Takes a capsule the way Triton does, and hands it out again."""

        def __init__(self, name: str, capsule: Any) -> None:
            self.name, self.capsule = name, capsule

        def to_dlpack(self) -> Any:
            return self.capsule

    kept: list[Tensor] = []

    def make(name: str, capsule: Any) -> Tensor:
        kept.append(Tensor(name, capsule))
        assert ort_bfloat.to_bits(kept[0]).tolist() == bits.tolist()
        return kept[0]

    assert ort_bfloat.from_bits(make, "y", bits).name == "y"
