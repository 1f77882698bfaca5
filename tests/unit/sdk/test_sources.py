"""Which files make up a version, and where they go."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from bmase import layout, onnxfile, samples, sources
from bmase.errors import InvalidArgument, NotFound, TransferFailed
from bmase.registry.v1 import registry_pb2 as pb
from bmase.transfer import Stored
from onnx import TensorProto, helper, numpy_helper

from tests.support import onnx_models


def _external(folder: Path, name: str = "weights.bin") -> Path:
    """A model whose two tensors, one of them inside a branch, are in a file beside it."""
    weight = numpy_helper.from_array(np.arange(2048, dtype=np.float32), "w")
    branches = []
    for label in ("then", "else"):
        inner = helper.make_node("Constant", [], ["z"], value=numpy_helper.from_array(np.ones(2048, np.float32), label))
        out = helper.make_tensor_value_info("z", TensorProto.FLOAT, [2048])
        branches.append(helper.make_graph([inner], label, [], [out]))
    condition = helper.make_tensor_value_info("c", TensorProto.BOOL, [])
    nodes = [
        helper.make_node("If", ["c"], ["chosen"], then_branch=branches[0], else_branch=branches[1]),
        helper.make_node("Add", ["chosen", "w"], ["y"]),
    ]
    made = helper.make_tensor_value_info("y", TensorProto.FLOAT, [2048])
    model = helper.make_model(helper.make_graph(nodes, "g", [condition], [made], [weight]))
    path = folder / "net.onnx"
    onnx.save(model, path, save_as_external_data=True, location=name, size_threshold=0, convert_attribute=True)
    return path


def test_one_onnx_file_becomes_model_onnx(tmp_path: Path) -> None:
    file = tmp_path / "digits_v2.onnx"
    onnx.save(onnx_models.affine(), file)
    assert sources.collect([file]) == [sources.Source(file, "model.onnx")]


def test_external_data_are_found_also_in_branches_and_folders(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    file = _external(tmp_path, "data/weights.bin")
    assert onnxfile.external_files(file) == ["data/weights.bin"]
    assert [s.path for s in sources.collect([file])] == ["data/weights.bin", "model.onnx"]


def test_external_data_that_are_missing_are_named(tmp_path: Path) -> None:
    file = _external(tmp_path)
    (tmp_path / "weights.bin").unlink()
    with pytest.raises(InvalidArgument, match=r"weights\.bin"):
        sources.collect([file])


@pytest.mark.parametrize("location", ["/etc/passwd", "../up.bin", "a/../../up.bin", ""])
def test_external_data_stay_in_the_folder(tmp_path: Path, location: str) -> None:
    model = onnx_models.affine()
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    file = tmp_path / "m.onnx"
    file.write_bytes(model.SerializeToString())
    with pytest.raises(InvalidArgument, match="outside"):
        onnxfile.external_files(file)


@pytest.mark.parametrize("content", [b"", b"\xff" * 64, b"this is not a protobuf message at all"])
def test_what_is_not_onnx_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "m.onnx"
    file.write_bytes(content)
    with pytest.raises(InvalidArgument) as refused:
        onnxfile.external_files(file)
    assert refused.value.reason == "INVALID_MODEL_FILE"


def test_a_model_that_is_cut_off_is_refused(tmp_path: Path) -> None:
    whole = onnx_models.affine().SerializeToString()
    file = tmp_path / "m.onnx"
    for length in range(1, len(whole)):
        file.write_bytes(whole[:length])
        try:
            onnxfile.external_files(file)
        except InvalidArgument:
            continue
        # A cut between two fields of the model is a protobuf message too; the registry's checks find those.
        onnx.ModelProto.FromString(whole[:length])


def _field(number: int, length: int) -> bytes:
    """Tag and length of a length-delimited field."""
    head = bytearray([number << 3 | 2])
    while length > 0x7F:
        head.append(length & 0x7F | 0x80)
        length >>= 7
    return bytes([*head, length])


def test_a_model_of_four_gigabytes_takes_no_memory(tmp_path: Path) -> None:
    raw, file = 1 << 32, tmp_path / "big.onnx"
    external = _field(1, 8) + b"location" + _field(2, 1) + b"w"
    tensor = _field(13, len(external)) + external + _field(9, raw)
    initializer = _field(5, len(tensor) + raw)
    head = _field(7, len(initializer) + len(tensor) + raw) + initializer + tensor
    file.write_bytes(head)
    with file.open("r+b") as sparse:
        sparse.truncate(len(head) + raw)
    (tmp_path / "w").touch()
    program = (
        "import pathlib, resource\n"
        "from bmase import onnxfile\n"
        "resource.setrlimit(resource.RLIMIT_DATA, (200 << 20, 200 << 20))\n"
        f"print(onnxfile.external_files(pathlib.Path({str(file)!r})))\n"
    )
    ran = subprocess.run([sys.executable, "-c", program], check=True, timeout=30, capture_output=True, text=True)
    assert ran.stdout.strip() == "['w']"


def _tree(folder: Path, *files: str) -> Path:
    for file in files:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text(file)
    return folder


def test_a_triton_model_directory(tmp_path: Path) -> None:
    folder = _tree(tmp_path / "m", "config.pbtxt", "1/model.py", "1/deep/x.bin", "1/.hidden", "1/__pycache__/a.pyc")
    found = [(s.path, s.role) for s in sources.collect([folder])]
    assert found == [
        ("config.pbtxt", pb.File.ROLE_CONFIG),
        ("deep/x.bin", pb.File.ROLE_MODEL),
        ("model.py", pb.File.ROLE_MODEL),
    ]


def test_one_push_is_one_version(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="1, 2"):
        sources.collect([_tree(tmp_path / "m", "1/a", "2/a")])


def test_a_version_directory_and_its_configuration(tmp_path: Path) -> None:
    folder = _tree(tmp_path / "m", "config.pbtxt", "1/a", "2/b")
    found = sources.collect([folder / "2", folder / "config.pbtxt"])
    assert [(s.path, s.role) for s in found] == [("b", pb.File.ROLE_MODEL), ("config.pbtxt", pb.File.ROLE_CONFIG)]


def test_two_files_for_one_place_are_refused(tmp_path: Path) -> None:
    one, two = _tree(tmp_path / "a", "x.txt") / "x.txt", _tree(tmp_path / "b", "x.txt") / "x.txt"
    with pytest.raises(InvalidArgument, match=r"both become x\.txt"):
        sources.collect([one, two])
    assert len(sources.collect([one, one])) == 1


@pytest.mark.parametrize("make", [lambda p: p / "missing", lambda p: _tree(p / "e", ".only-hidden")])
def test_nothing_to_push_is_an_error(tmp_path: Path, make: object) -> None:
    with pytest.raises(InvalidArgument):
        sources.collect([make(tmp_path)])  # type: ignore[operator]


def test_messages_keep_files_and_digests_together(tmp_path: Path) -> None:
    found = sources.collect([_tree(tmp_path / "m", "config.pbtxt", "1/a")])
    made = sources.messages(found, [Stored("sha256:a", 1), Stored("sha256:c", 2)])
    assert [(f.path, f.digest) for f in made] == [("a", "sha256:a"), ("config.pbtxt", "sha256:c")]


def test_what_is_pulled_can_be_pushed_again(tmp_path: Path) -> None:
    version = pb.Version(number=7)
    version.files.add(path="config.pbtxt", role=pb.File.ROLE_CONFIG)
    version.files.add(path="deep/model.bin", role=pb.File.ROLE_MODEL)
    for path in ("samples/1.pb", "samples/a/1.pb", "samples/b/1.pb"):
        version.files.add(path=path, role=pb.File.ROLE_SAMPLE)
    for path in ("evidence/card.md", "evidence/plots/loss.png", "evidence/config.pbtxt"):
        version.files.add(path=path, role=pb.File.ROLE_EVIDENCE)
    targets = [f.target.relative_to(tmp_path).as_posix() for f in layout.fetches(version, tmp_path)]
    assert targets == [
        "config.pbtxt", "7/deep/model.bin", "samples/1.pb", "samples/a/1.pb", "samples/b/1.pb",
        "evidence/card.md", "evidence/plots/loss.png", "evidence/config.pbtxt",
    ]  # fmt: skip
    pushed = sources.collect([_tree(tmp_path, *targets)])
    assert {(s.path, s.role) for s in pushed} == {(f.path, f.role) for f in version.files}


def test_samples_from_elsewhere_keep_their_path(tmp_path: Path) -> None:
    version = pb.Version(number=7)
    for path in ("a/1.pb", "b/1.pb"):
        version.files.add(path=path, role=pb.File.ROLE_SAMPLE)
    targets = [f.target.relative_to(tmp_path).as_posix() for f in layout.fetches(version, tmp_path)]
    assert targets == ["samples/a/1.pb", "samples/b/1.pb"]
    version.files.add(path="samples/a/1.pb", role=pb.File.ROLE_SAMPLE)
    with pytest.raises(TransferFailed, match="one place"):
        layout.fetches(version, tmp_path)


def test_samples_of_another_version_do_not_stay(tmp_path: Path) -> None:
    version = pb.Version(number=2)
    version.files.add(path="samples/1.pb", role=pb.File.ROLE_SAMPLE)
    _tree(tmp_path, "samples/1.pb", "samples/2.pb", "samples/a/1.pb", "samples/notes.txt", "1/x.pb")
    layout.remove_others(version, tmp_path)
    left = sorted(file.relative_to(tmp_path).as_posix() for file in tmp_path.rglob("*") if file.is_file())
    assert left == ["1/x.pb", "samples/1.pb", "samples/notes.txt"]
    layout.remove_others(version, tmp_path / "nowhere")


def test_evidence_of_another_version_does_not_stay_but_what_is_not_ours_does(tmp_path: Path) -> None:
    version = pb.Version(number=2)
    version.files.add(path="evidence/card.md", role=pb.File.ROLE_EVIDENCE)
    _tree(tmp_path, "evidence/card.md", "evidence/plots/old.png")
    layout.remove_others(version, tmp_path)
    assert (tmp_path / "evidence/plots/old.png").exists()
    _tree(tmp_path, "config.pbtxt")
    layout.remove_others(version, tmp_path)
    assert [f.name for f in (tmp_path / "evidence").rglob("*") if f.is_file()] == ["card.md"]


def test_evidence_from_anywhere(tmp_path: Path) -> None:
    folder = _tree(tmp_path / "run", "evaluation.json", "plots/loss.png")
    model = _tree(tmp_path / "m", "model.onnx", "evidence/of-the-model.bin")
    card = _tree(tmp_path, "card.md") / "card.md"
    found = {s.path: s.role for s in sources.collect([model], [folder, card])}
    assert {path for path, role in found.items() if role == pb.File.ROLE_EVIDENCE} == {
        "evidence/evaluation.json", "evidence/plots/loss.png", "evidence/card.md",
    }  # fmt: skip
    assert found["evidence/of-the-model.bin"] == pb.File.ROLE_MODEL
    with pytest.raises(InvalidArgument, match="does not exist"):
        sources.collect([model], [tmp_path / "missing"])


def _kept() -> pb.Version:
    version = pb.Version(name="models/m/versions/2", number=2)
    version.files.add(path="model.onnx", role=pb.File.ROLE_MODEL)
    for path in ("evidence/plots/roc.png", "evidence/plots/loss.png", "evidence/card.md"):
        version.files.add(path=path, role=pb.File.ROLE_EVIDENCE)
    return version


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("", ["card.md", "plots/loss.png", "plots/roc.png"]),
        ("card.md", ["card.md"]),
        ("evidence/card.md", ["card.md"]),
        ("plots/", ["plots/loss.png", "plots/roc.png"]),
        ("plots/roc.png", ["plots/roc.png"]),
    ],
)
def test_evidence_by_name(tmp_path: Path, name: str, found: list[str]) -> None:
    fetches = layout.evidence_fetches(_kept(), tmp_path, name)
    assert [f.target.relative_to(tmp_path).as_posix() for f in fetches] == found


@pytest.mark.parametrize("name", ["plot", "card", "model.onnx"])
def test_evidence_that_is_not_there_is_named_with_what_is(tmp_path: Path, name: str) -> None:
    with pytest.raises(NotFound, match=name) as caught:
        layout.evidence_fetches(_kept(), tmp_path, name)
    assert "card.md, plots/loss.png" in caught.value.hint


def test_evidence_cannot_be_written_outside_of_the_destination(tmp_path: Path) -> None:
    version = pb.Version(number=1)
    version.files.add(path="evidence//etc/passwd", role=pb.File.ROLE_EVIDENCE)
    with pytest.raises(TransferFailed, match="leave the destination"):
        layout.evidence_fetches(version, tmp_path)
    with pytest.raises(TransferFailed, match="leave the destination"):
        layout.fetches(version, tmp_path)


@pytest.mark.parametrize("path", ["../x", "/x", "a/../../x", ""])
def test_a_registry_cannot_write_outside_of_the_destination(tmp_path: Path, path: str) -> None:
    version = pb.Version(number=1)
    version.files.add(path=path)
    with pytest.raises(TransferFailed, match="leave the destination"):
        layout.fetches(version, tmp_path)


def _savez(file: Path, **arrays: Any) -> None:
    np.savez(file, **arrays)


def test_samples(tmp_path: Path) -> None:
    file = tmp_path / "s.npz"
    _savez(file, **{"input:x": np.ones((1, 2), np.float32), "output:y": np.array([b"cat"])})
    sample = samples.from_npz(file)
    assert [(t.name, t.datatype, list(t.shape)) for t in sample.inputs] == [("x", "FP32", [1, 2])]
    assert sample.outputs[0].data == b"\x03\x00\x00\x00cat"


@pytest.mark.parametrize("arrays", [{"x": 1}, {"input:": 1}, {"output:y": 1}, {"in:x": 1}])
def test_samples_with_other_names_are_refused(tmp_path: Path, arrays: dict[str, int]) -> None:
    _savez(tmp_path / "s.npz", **{name: np.array(value) for name, value in arrays.items()})
    with pytest.raises(InvalidArgument, match="input:NAME"):
        samples.from_npz(tmp_path / "s.npz")


def test_samples_are_never_unpickled(tmp_path: Path) -> None:
    _savez(tmp_path / "s.npz", **{"input:x": np.array([{"a": 1}], dtype=object)})
    with pytest.raises(InvalidArgument, match="plain arrays"):
        samples.from_npz(tmp_path / "s.npz")
    np.save(tmp_path / "s.npy", np.zeros(2))
    with pytest.raises(InvalidArgument, match="plain arrays"):
        samples.from_npz(tmp_path / "s.npy")
