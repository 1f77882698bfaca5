"""Whatever comes out of the sandbox may have been made by an attacker."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from bmase.reasons import Reason
from onnx import TensorProto, helper

from services.kit.errors import DomainError
from services.trainer.imports import hostile
from tests.support.onnx_models import affine

MOST = 1 << 20


def _report(**more: object) -> bytes:
    return json.dumps(
        {"probes": [{"name": "batch of 1", "inputs": {"x": "a0"}, "outputs": {"0": "a1"}}], **more}
    ).encode()


def _arrays(**arrays: np.ndarray) -> bytes:
    out = io.BytesIO()
    np.savez(out, **(arrays or {"a0": np.zeros((1, 4), np.float32), "a1": np.zeros((1, 4), np.float32)}))
    return out.getvalue()


def _tar(path: Path, members: dict[str, bytes | tarfile.TarInfo]) -> Path:
    with tarfile.open(path, "w") as archive:
        for name, content in members.items():
            if isinstance(content, tarfile.TarInfo):
                archive.addfile(content)
            else:
                info = tarfile.TarInfo(name)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    return path


def _good() -> dict[str, bytes | tarfile.TarInfo]:
    return {"report.json": _report(), "model.onnx": affine().SerializeToString(), "arrays.npz": _arrays()}


def _unpacked(folder: Path, members: dict[str, bytes | tarfile.TarInfo]) -> hostile.Answered:
    return hostile.unpack(_tar(folder / "answer.tar", members), folder, MOST)


def test_what_is_as_it_has_to_be_is_taken(tmp_path: Path) -> None:
    answered = _unpacked(tmp_path, _good())
    assert answered.arrays["a1"].shape == (1, 4)


def _link(name: str, target: str) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = tarfile.SYMTYPE, target
    return info


def _external() -> bytes:
    model = affine()
    first = model.graph.initializer[0]
    first.ClearField("raw_data")
    first.data_location = TensorProto.EXTERNAL
    first.external_data.add(key="location", value="../../etc/passwd")
    return model.SerializeToString()


def _strange() -> bytes:
    node = helper.make_node("Shell", ["x"], ["y"], domain="evil")
    port = (
        helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n"]),
        helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n"]),
    )
    graph = helper.make_graph([node], "g", [port[0]], [port[1]])
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 20), helper.make_opsetid("evil", 1)], ir_version=10
    )
    return model.SerializeToString()


def _pickled() -> bytes:
    out = io.BytesIO()
    np.savez(out, a0=np.array([{}], dtype=object), a1=np.zeros(1), allow_pickle=True)
    return out.getvalue()


def _packed() -> bytes:
    out = io.BytesIO()
    np.savez_compressed(out, a0=np.zeros(1 << 22), a1=np.zeros(1))
    return out.getvalue()


def _encrypted() -> bytes:
    """As it says itself: the flag in front of each content and in the list at the end."""
    content = bytearray(_arrays())
    for mark, flag in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        at = -1
        while (at := content.find(mark, at + 1)) >= 0:
            content[at + flag] |= 1
    return bytes(content)


@pytest.mark.parametrize(
    "wrong",
    [
        {"../escaped": b"x"},
        {"/etc/cron.d/x": b"x"},
        {"model.onnx": _link("model.onnx", "/etc/passwd")},
        {"model.onnx": bytes(MOST + 1)},
        {"model.onnx": b"no graph"},
        {"model.onnx": _external()},
        {"model.onnx": _strange()},
        {"arrays.npz": b"no arrays"},
        {"arrays.npz": _pickled()},
        {"arrays.npz": _packed()},
        {"arrays.npz": _encrypted()},
        {"arrays.npz": _arrays(a9=np.zeros(1))},
        {"report.json": b"{"},
        {"report.json": _report(extra=1)},
        {"report.json": _report(notes=["x"] * 100)},
    ],
    ids=lambda wrong: next(iter(wrong)),
)
def test_what_is_not_is_refused(tmp_path: Path, wrong: dict[str, bytes | tarfile.TarInfo]) -> None:
    with pytest.raises(DomainError) as refused:
        _unpacked(tmp_path, {**_good(), **wrong})
    assert refused.value.reason is Reason.CONVERSION_FAILED
    assert not (tmp_path.parent / "escaped").exists()


def test_no_tar_at_all(tmp_path: Path) -> None:
    (tmp_path / "answer.tar").write_bytes(b"hello")
    with pytest.raises(DomainError, match="not what it has to be"):
        hostile.unpack(tmp_path / "answer.tar", tmp_path, MOST)


@pytest.mark.parametrize(
    ("kind", "reason"),
    [("unsafe", Reason.UNSAFE_PICKLE), ("needs", Reason.INVALID_FIELD), ("failed", Reason.CONVERSION_FAILED)],
)
def test_refusals_have_their_reasons(tmp_path: Path, kind: str, reason: Reason) -> None:
    report = json.dumps({"refused": {"kind": kind, "message": "it asks for os.system"}}).encode()
    with pytest.raises(DomainError, match=r"os\.system") as refused:
        _unpacked(tmp_path, {"report.json": report})
    assert refused.value.reason is reason


def _beside() -> TensorProto:
    """Its numbers are those of a file that is there, where the trainer runs."""
    tensor = TensorProto(name="stolen", data_type=TensorProto.FLOAT, dims=[4], data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value="secret")
    return tensor


def _constant(model: onnx.ModelProto) -> None:
    model.graph.node.append(helper.make_node("Constant", [], ["k"], value=_beside()))


def _sparse(model: onnx.ModelProto) -> None:
    values = _beside()
    indices = TensorProto(data_type=TensorProto.INT64, dims=[4], int64_data=[0, 1, 2, 3])
    model.graph.sparse_initializer.append(onnx.SparseTensorProto(values=values, indices=indices, dims=[4]))


def _branch(model: onnx.ModelProto, inside: onnx.GraphProto) -> onnx.NodeProto:
    model.graph.initializer.append(TensorProto(name="yes", data_type=TensorProto.BOOL, dims=[], int32_data=[1]))
    return helper.make_node("If", ["yes"], ["k"], then_branch=inside, else_branch=inside)


def _inner(node: onnx.NodeProto) -> onnx.GraphProto:
    return helper.make_graph([node], "inner", [], [helper.make_tensor_value_info("k", TensorProto.FLOAT, [4])])


def _within(model: onnx.ModelProto) -> None:
    model.graph.node.append(_branch(model, _inner(helper.make_node("Constant", [], ["k"], value=_beside()))))


def _without_nodes(model: onnx.ModelProto) -> None:
    inside = helper.make_graph([], "inner", [], [helper.make_tensor_value_info("stolen", TensorProto.FLOAT, [4])])
    inside.initializer.append(_beside())
    model.graph.node.append(_branch(model, inside))


def _function(model: onnx.ModelProto) -> None:
    body = [helper.make_node("Constant", [], ["k"], value=_beside())]
    model.functions.append(helper.make_function("own", "Steal", [], ["k"], body, [helper.make_opsetid("", 17)]))


@pytest.mark.parametrize("hide", [_constant, _sparse, _within, _without_nodes, _function])
def test_no_numbers_come_from_other_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hide: Callable[[onnx.ModelProto], None]
) -> None:
    model = affine()
    hide(model)
    onnx.save(model, tmp_path / "model.onnx")
    (tmp_path / "secret").write_bytes(bytes(16))
    monkeypatch.chdir(tmp_path)  # the checker looks for such files where the process is
    with pytest.raises(DomainError, match="stolen lie outside"):
        hostile.check(tmp_path / "model.onnx")


def test_nodes_inside_of_functions_are_looked_at_too(tmp_path: Path) -> None:
    model = affine()
    call = helper.make_node("Shell", [], ["k"], domain="evil")
    condition = helper.make_node("Constant", [], ["yes"], value=helper.make_tensor("", TensorProto.BOOL, [], [True]))
    branch = helper.make_node("If", ["yes"], ["k"], then_branch=_inner(call), else_branch=_inner(call))
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("evil", 1)]
    model.functions.append(helper.make_function("own", "Hide", [], ["k"], [condition, branch], opsets))
    onnx.save(model, tmp_path / "model.onnx")
    with pytest.raises(DomainError, match="nodes of evil"):
        hostile.check(tmp_path / "model.onnx")


def test_the_graph_inside_a_node_is_looked_at_too(tmp_path: Path) -> None:
    body = onnx.load_from_string(_strange()).graph
    names = [node.domain for graph in hostile._graphs(body) for node in graph.node]
    assert names == ["evil"]
