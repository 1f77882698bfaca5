"""Merged models give the weighted average of what their members give, and what cannot be merged is refused by name."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from services.kit.errors import DomainError, InvalidArgument
from services.trainer.ensembles import agreement, merge, onnxfiles
from services.trainer.ensembles.members import Member

Dims = Sequence[int | str | None]
FLOAT = TensorProto.FLOAT


def linear(
    seed: int,
    *,
    dims: Dims = ("batch", 4),
    out: Dims = ("batch", 3),
    element: int = FLOAT,
    opset: int = 17,
    ir: int = 8,
    names: tuple[str, str] = ("x", "y"),
) -> onnx.ModelProto:
    """y = softmax(x w); all inner names are the same in every model."""
    kind = helper.tensor_dtype_to_np_dtype(element)
    weights = np.random.default_rng(seed).normal(size=(4, 3)).astype(kind)
    x, y = names
    nodes = [
        helper.make_node("MatMul", [x, "w"], ["h"], name="multiply"),
        helper.make_node("Softmax", ["h"], [y], name="softmax", axis=1),
    ]
    return graph(nodes, [(x, element, dims)], [(y, element, out)], {"w": weights}, opset, ir)


def graph(
    nodes: list[onnx.NodeProto],
    inputs: list[tuple[str, int, Dims]],
    outputs: list[tuple[str, int, Dims]],
    weights: dict[str, np.ndarray],
    opset: int = 17,
    ir: int = 8,
) -> onnx.ModelProto:
    takes, gives = ([helper.make_tensor_value_info(n, e, list(d)) for n, e, d in each] for each in (inputs, outputs))
    made = helper.make_graph(nodes, "g", takes, gives, [numpy_helper.from_array(a, n) for n, a in weights.items()])
    if ir < 4:
        made.input.extend(
            helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(a.dtype), a.shape)
            for n, a in weights.items()
        )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", opset)], ir_version=ir)
    onnx.checker.check_model(model)
    return model


def members(*models: onnx.ModelProto, weights: Sequence[float] = (0.7, 0.3)) -> list[Member]:
    return [Member(f"m@{n}", model, weight) for n, (model, weight) in enumerate(zip(models, weights, strict=True))]


def batches(element: int = FLOAT) -> list[dict[str, np.ndarray]]:
    """One row, many rows, no rows."""
    rng = np.random.default_rng(9)
    kind = helper.tensor_dtype_to_np_dtype(element)
    return [{"x": rng.normal(size=(rows, 4)).astype(kind)} for rows in (1, 300, 0)]


def agree(merged: onnx.ModelProto, of: Sequence[Member], tolerance: float = 1e-6, element: int = FLOAT) -> None:
    agreement.require(agreement.differences(merged, of, batches(element)), tolerance)


def refusal(*given: Member, outputs: Sequence[str] = ()) -> str:
    with pytest.raises(DomainError) as caught:
        merge.merge(given, outputs)
    return caught.value.message


def test_the_average_of_three() -> None:
    three = members(linear(1), linear(2), linear(3), weights=(0.5, 0.25, 0.25))
    before = [member.model.SerializeToString() for member in three]
    merged = merge.merge(three)
    agree(merged, three)
    assert [value.name for value in merged.graph.input] == ["x"]
    assert merged.graph.output[0].type == three[0].model.graph.output[0].type
    assert [member.model.SerializeToString() for member in three] == before
    assert json.loads(merged.metadata_props[0].value)["weights"] == {"m@0": 0.5, "m@1": 0.25, "m@2": 0.25}


@pytest.mark.parametrize("weights", [(1.0, 0.0), (0.7, 0.3)])
def test_members_of_trees_alone_name_no_standard_operators(weights: tuple[float, float]) -> None:
    """As converters of boosted trees write them: whatever merging adds needs the import that they lack."""
    node = helper.make_node("Normalizer", ["x"], ["y"], domain="ai.onnx.ml", norm="L1")
    ports = [helper.make_tensor_value_info(name, FLOAT, ["batch", 4]) for name in ("x", "y")]
    made = helper.make_graph([node], "g", ports[:1], ports[1:])
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("ai.onnx.ml", 3)], ir_version=8)
    both = members(model, model, weights=weights)
    assert agreement.differences(merge.merge(both), both, batches())["y"] < 1e-6


def test_agreement_finds_other_weights() -> None:
    merged = merge.merge(members(linear(1), linear(2)))
    with pytest.raises(DomainError, match="differs from the average of its members: 'y' by"):
        agree(merged, members(linear(1), linear(2), weights=(0.69, 0.31)))


def test_a_member_without_weight_is_not_run() -> None:
    merged = merge.merge(members(linear(1), linear(2), weights=(1.0, 0.0)))
    assert len(merged.graph.initializer) == 2  # the weights of the one, and its weight
    agree(merged, members(linear(1), weights=(1.0,)))


def test_equal_members_give_equal_bytes(tmp_path: Path) -> None:
    for name in "ab":
        onnxfiles.write(merge.merge(members(linear(1), linear(2))), tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize(
    ("element", "tolerance"), [(TensorProto.DOUBLE, 1e-14), (TensorProto.FLOAT16, 2e-3), (FLOAT, 1e-6)]
)
def test_every_float_type_stays_what_it_is(element: int, tolerance: float) -> None:
    two = members(linear(1, element=element), linear(2, element=element))
    merged = merge.merge(two)
    assert merged.graph.output[0].type.tensor_type.elem_type == element
    agree(merged, two, tolerance, element)


def test_old_opsets_are_converted_and_old_ir_versions_read() -> None:
    mixed = members(linear(1, opset=9, ir=3), linear(2, opset=18))
    merged = merge.merge(mixed)
    assert [(each.domain, each.version) for each in merged.opset_import] == [("", 18)]
    assert [value.name for value in merged.graph.input] == ["x"]
    agree(merged, mixed)


def test_logits_become_probabilities_before_the_average() -> None:
    raw = linear(2)
    del raw.graph.node[1]
    raw.graph.node[0].output[0] = "y"
    two = [Member("chances", linear(1), 0.5), Member("logits", raw, 0.5, logits=True)]
    merged = merge.merge(two)
    agree(merged, two)
    agree(merged, members(linear(1), linear(2), weights=(0.5, 0.5)))


def test_a_single_logit_is_that_of_the_positive_class() -> None:
    def single(seed: int) -> onnx.ModelProto:
        weights = np.random.default_rng(seed).normal(size=(4, 1)).astype(np.float32)
        node = helper.make_node("MatMul", ["x", "w"], ["y"])
        return graph([node], [("x", FLOAT, ("n", 4))], [("y", FLOAT, ("n", 1))], {"w": weights})

    two = [Member(f"m{seed}", single(seed), 0.5, logits=True) for seed in (1, 2)]
    merged = merge.merge(two)
    assert "Sigmoid" in [node.op_type for node in merged.graph.node]
    agree(merged, two)


def branching(seed: int) -> onnx.ModelProto:
    """An inner graph that uses an outer initialiser, an outer tensor, and names of its own."""
    weights = np.random.default_rng(seed).normal(size=4).astype(np.float32)

    def branch(operator: str) -> onnx.GraphProto:
        output = helper.make_tensor_value_info("inner", FLOAT, ["n", 4])
        return helper.make_graph([helper.make_node(operator, ["twice", "w"], ["inner"])], "b", [], [output])

    nodes = [
        helper.make_node("Add", ["x", "x"], ["twice"]),
        helper.make_node("ReduceSum", ["x"], ["sum"], keepdims=0),
        helper.make_node("Greater", ["sum", "zero"], ["positive"]),
        helper.make_node("If", ["positive"], ["y"], then_branch=branch("Add"), else_branch=branch("Mul")),
    ]
    constants = {"w": weights, "zero": np.array(0, np.float32)}
    return graph(nodes, [("x", FLOAT, ("n", 4))], [("y", FLOAT, ("n", 4))], constants)


def test_inner_graphs_keep_what_they_refer_to() -> None:
    two = members(branching(1), branching(2))
    agree(merge.merge(two), two)


def test_local_functions_are_inlined() -> None:
    def doubling(seed: int, factor: float) -> onnx.ModelProto:
        model = linear(seed)
        body = [
            helper.make_node("Constant", [], ["f"], value=numpy_helper.from_array(np.array(factor, np.float32))),
            helper.make_node("Mul", ["a", "f"], ["b"]),
        ]
        opsets = [helper.make_opsetid("", 17)]
        model.functions.append(helper.make_function("own", "Scale", ["a"], ["b"], body, opsets))
        model.opset_import.append(helper.make_opsetid("own", 1))
        model.graph.node[1].output[0] = "s"
        model.graph.node.append(helper.make_node("Scale", ["s"], ["y"], domain="own"))
        return model

    two = members(doubling(1, 2.0), doubling(2, 5.0))
    merged = merge.merge(two)
    assert not merged.functions
    agree(merged, two)


def test_open_dimensions_may_be_called_differently_and_mean_their_own() -> None:
    """In one `n` is the batch, in the other the width of an inner tensor."""
    other = linear(2, dims=("rows", 4), out=("rows", 3))
    two = members(linear(1, dims=("n", 4), out=("n", 3)), other)
    merged = merge.merge(two)
    agree(merged, two)
    assert merged.graph.output[0].type.tensor_type.shape.dim[0].dim_param == "n"


def test_an_output_is_as_narrow_as_one_member_says() -> None:
    two = members(linear(1, out=("batch", None)), linear(2))
    merged = merge.merge(two)
    assert merged.graph.output[0].type.tensor_type.shape.dim[1].dim_value == 3
    agree(merged, two)


def labelled(seed: int) -> onnx.ModelProto:
    model = linear(seed)
    model.graph.node.append(helper.make_node("ArgMax", ["y"], ["label"], axis=1, keepdims=0))
    model.graph.output.append(helper.make_tensor_value_info("label", TensorProto.INT64, ["batch"]))
    return model


def test_labels_have_no_average_and_probabilities_can_be_named() -> None:
    two = members(labelled(1), labelled(2))
    assert refusal(*two) == "member 'm@0': its output 'label' is INT64 [batch], which has no average"
    merged = merge.merge(two, ["y"])
    assert [value.name for value in merged.graph.output] == ["y"]
    agree(merged, two)


@pytest.mark.parametrize(
    ("other", "why"),
    [
        (linear(2, names=("z", "y")), "member 'm@1': it takes z, member 'm@0' takes x"),
        (linear(2, names=("x", "z")), "member 'm@1': it gives z, member 'm@0' gives y"),
        (
            linear(2, element=TensorProto.DOUBLE),
            "member 'm@1': it takes 'x' as DOUBLE [batch, 4], member 'm@0' as FLOAT [batch, 4]",
        ),
        (linear(2, dims=(1, 4), out=(1, 3)), "it takes 'x' as FLOAT [1, 4], member 'm@0' as FLOAT [batch, 4]"),
        (linear(2, dims=("n", "n"), out=("n", 3)), "it takes 'x' as FLOAT [n, n], member 'm@0' as FLOAT [batch, 4]"),
    ],
)
def test_other_inputs_or_outputs_are_refused(other: onnx.ModelProto, why: str) -> None:
    assert why in refusal(*members(linear(1), other))


def test_dimensions_that_have_to_be_equal_are_part_of_the_input() -> None:
    def square(dims: Dims) -> onnx.ModelProto:
        return graph([helper.make_node("Identity", ["x"], ["y"])], [("x", FLOAT, dims)], [("y", FLOAT, dims)], {})

    agreeing = merge.merge(members(square(("a", "b")), square(("b", "a"))))
    assert [d.dim_param for d in agreeing.graph.input[0].type.tensor_type.shape.dim] == ["a", "b"]
    for one, other in ((("n", "n"), ("n", "m")), (("n", "m"), ("n", "n"))):
        why = refusal(*members(square(one), square(other)))
        assert why == "member 'm@1': it needs other dimensions to be equal than member 'm@0' does"


def test_outputs_of_other_widths_are_refused() -> None:
    wide = linear(2)
    wide.graph.initializer[0].CopyFrom(numpy_helper.from_array(np.ones((4, 5), np.float32), "w"))
    wide.graph.output[0].type.tensor_type.shape.dim[1].dim_value = 5
    why = refusal(*members(linear(1), wide))
    assert why == "member 'm@1': it gives 'y' as FLOAT [batch, 5], member 'm@0' as FLOAT [batch, 3]"


def test_sequences_are_refused() -> None:
    listed = linear(2)
    listed.graph.output[0].CopyFrom(helper.make_tensor_sequence_value_info("y", FLOAT, None))
    assert "its output 'y' is no tensor" in refusal(*members(linear(1), listed))


def test_operators_of_other_domains_need_one_version() -> None:
    def scaled(version: int) -> onnx.ModelProto:
        model = linear(1)
        model.opset_import.append(helper.make_opsetid("ai.onnx.ml", version))
        model.graph.node[1].output[0] = "s"
        model.graph.node.append(
            helper.make_node("Scaler", ["s"], ["y"], domain="ai.onnx.ml", offset=[0.0], scale=[2.0])
        )
        return model

    why = refusal(*members(scaled(1), scaled(3)))
    assert why == "member 'm@1': it uses version 3 of the operators 'ai.onnx.ml', member 'm@0' version 1"
    old = scaled(3)
    old.opset_import[0].version = 14
    mixed = members(old, scaled(3))
    agree(merge.merge(mixed), mixed)


def test_what_the_converter_does_not_know_is_refused_with_its_words() -> None:
    """Batch normalisation as it was trained: from opset 14 on it has other outputs."""
    node = helper.make_node("BatchNormalization", ["x", "s", "b", "m", "v"], ["y", "m1", "v1", "m2", "v2"])
    weights = {name: np.ones(4, np.float32) for name in "sbmv"}
    old = graph([node], [("x", FLOAT, ("n", 4))], [("y", FLOAT, ("n", 4))], weights, opset=13)
    why = refusal(*members(old, linear(1)))
    assert why.startswith("member 'm@0': it cannot be brought from opset 13 to 17: ")
    assert "BatchNormalization" in why


@pytest.mark.parametrize(
    ("weights", "why"),
    [((0.5, 0.4), "sum 1; they are 0.5, 0.4"), ((1.5, -0.5), "in 0..1"), ((float("nan"), 1.0), "they are nan")],
)
def test_weights_have_to_be_shares(weights: Sequence[float], why: str) -> None:
    with pytest.raises(InvalidArgument, match=r"0\.\.1 with sum 1") as caught:
        merge.merge(members(linear(1), linear(2), weights=weights))
    assert why in caught.value.message


def test_two_members_have_two_names() -> None:
    with pytest.raises(InvalidArgument, match="names come twice in a, a"):
        merge.merge([Member("a", linear(1), 0.5), Member("a", linear(2), 0.5)])


def outside(seed: int, folder: Path) -> Path:
    """A member in the way exporters write large ones: weights in a file beside the model."""
    folder.mkdir()
    path = folder / "model.onnx"
    onnx.save(linear(seed), path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    return path


def test_an_ensemble_can_be_a_member() -> None:
    inner = merge.merge(members(linear(1), linear(2)))
    two = members(inner, linear(3))
    merged = merge.merge(two)
    agree(merged, two)
    agree(merged, members(linear(1), linear(2), linear(3), weights=(0.49, 0.21, 0.3)))


def test_external_data_come_into_the_one_file(tmp_path: Path) -> None:
    paths = {name: outside(seed, tmp_path / name) for seed, name in enumerate("ab")}
    read = onnxfiles.read(paths)
    merged = merge.merge([Member(name, model, 0.5) for name, model in read.items()])
    onnxfiles.write(merged, tmp_path / "alone" / "model.onnx")
    session = onnxruntime.InferenceSession(str(tmp_path / "alone" / "model.onnx"))
    batch = batches()[1]
    own = [onnxruntime.InferenceSession(str(path)).run(["y"], batch)[0] for path in paths.values()]
    np.testing.assert_allclose(session.run(["y"], batch)[0], (own[0] + own[1]) / 2, atol=1e-6)


def test_a_member_without_its_data_is_refused(tmp_path: Path) -> None:
    bare = onnx.load(outside(1, tmp_path / "a"), load_external_data=False)
    assert refusal(*members(linear(2), bare)) == "member 'm@1': the data of 'w' are in another file"


def test_more_than_a_file_holds_is_refused_before_data_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = {name: outside(seed, tmp_path / name) for seed, name in enumerate("ab")}
    small = sum(path.stat().st_size for path in paths.values())
    for path in paths.values():
        (path.parent / "weights.bin").unlink()
    monkeypatch.setattr(merge, "MAX_BYTES", small + 95)  # of the 96 outside
    with pytest.raises(DomainError, match="one ONNX file holds at most 2 GiB") as caught:
        onnxfiles.read(paths)
    assert caught.value.hint == "serve the members side by side as a Triton ensemble"
    monkeypatch.setattr(merge, "MAX_BYTES", small + 96)
    with pytest.raises(DomainError, match="member 'a': its external data cannot be read"):
        onnxfiles.read(paths)


def test_what_is_no_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"PK\x03\x04 not a model")
    with pytest.raises(DomainError, match=r"member 'a': model\.onnx"):
        onnxfiles.read({"a": tmp_path / "model.onnx"})
