"""The engine's parts that need neither Ray nor a process."""

from __future__ import annotations

import errno
import io
import queue
import shutil
import sys
import tarfile
import time
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
from bmase.training import Cases, Product
from onnx import TensorProto, helper

from services.kit.errors import DomainError, InvalidArgument
from services.trainer.engine import calling, cases, inherited, packing, telling
from services.trainer.engine.assignment import Assignments, unpack_bundle
from services.trainer.engine.attempt import (
    Checkpointed,
    Failed,
    Kept,
    Logged,
    Measured,
    Progressed,
    Said,
    read_line,
    write_line,
)
from services.trainer.engine.checkpoints import copied
from services.trainer.engine.model import BATCH, OnnxModel, joined
from services.trainer.engine.telling import Teller, told
from services.trainer.jobs.state import Cause


def _product(folder: Path) -> Product:
    served = folder / "served"
    (served / "1").mkdir(parents=True)
    (served / "config.pbtxt").write_text('name: "x"')
    (served / "1" / "model.py").write_text("pass")
    note = folder / "note.json"
    note.write_text("{}")
    return Product(
        served,
        task="classification",
        inputs={"x": ("a", "b"), "y": "c"},
        target="label",
        classes=("no", "yes"),
        evidence={"deep/note.json": note},
        notes={"who": [1, 2]},
    )


def test_a_product_comes_out_as_it_went_in_and_the_same_one_is_the_same_file(tmp_path: Path) -> None:
    product = _product(tmp_path)
    packing.pack(product, tmp_path / "one.tar")
    time.sleep(0.01)
    packing.pack(product, tmp_path / "two.tar")
    assert (tmp_path / "one.tar").read_bytes() == (tmp_path / "two.tar").read_bytes()
    packing.unpack(tmp_path / "one.tar", tmp_path / "out")
    found = packing.unpacked(tmp_path / "out")
    assert (found.inputs, found.classes, found.notes) == (product.inputs, product.classes, product.notes)
    assert (found.folder / "1" / "model.py").read_text() == "pass"
    assert found.evidence["deep/note.json"].read_text() == "{}"


def test_a_product_without_files_is_none(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DomainError, match="no file"):
        packing.pack(Product(tmp_path / "empty"), tmp_path / "out.tar")


@pytest.mark.parametrize("kind", [tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE])
def test_a_bundle_stays_in_its_folder(tmp_path: Path, kind: bytes) -> None:
    packed = tmp_path / "bundle.tar.gz"
    with tarfile.open(packed, "w:gz") as tar:
        info = tarfile.TarInfo("../outside" if kind == tarfile.REGTYPE else "inside")
        info.type, info.linkname, info.size = kind, "/etc/passwd", 1 if kind == tarfile.REGTYPE else 0
        tar.addfile(info, io.BytesIO(b"x"))
    with pytest.raises(DomainError, match="bundle"):
        unpack_bundle(packed, tmp_path / "code")
    assert not (tmp_path / "outside").exists()
    assert not list((tmp_path / "code").iterdir())


def test_a_bundle_is_a_tar_or_a_zip_and_nothing_else(tmp_path: Path) -> None:
    packed = tmp_path / "bundle"
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("train.py", "x = 1")
    unpack_bundle(packed, tmp_path / "code")
    assert (tmp_path / "code" / "train.py").read_text() == "x = 1"
    packed.write_bytes(b"neither")
    with pytest.raises(DomainError, match=r"no \.tar\.gz or \.zip"):
        unpack_bundle(packed, tmp_path / "again")


def test_a_bundle_that_cannot_be_opened_is_the_callers_fault_and_a_full_disk_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed = tmp_path / "bundle"
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("train.py", "x = 1")
    content = bytearray(packed.read_bytes())
    for mark, flags in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        content[content.index(mark) + flags] |= 1  # it has a password
    packed.write_bytes(content)
    with pytest.raises(DomainError, match="bundle"):
        unpack_bundle(packed, tmp_path / "code")
    with tarfile.open(packed, "w:gz") as tar:
        tar.addfile(tarfile.TarInfo("train.py"), io.BytesIO())
    monkeypatch.setattr(shutil, "copyfileobj", _no_room)
    with pytest.raises(OSError, match="No space left"):
        unpack_bundle(packed, tmp_path / "again")


def _no_room(*_: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.anyio
async def test_what_attempts_of_a_killed_trainer_have_left_is_removed(tmp_path: Path) -> None:
    made = Assignments(None, tmp_path / "attempts", "file:///b", 1.0)  # type: ignore[arg-type]
    await made.clear()  # there is nothing yet
    for job, number in (("a", 1), ("a", 2), ("b", 1)):
        made.folder(job, number).mkdir(parents=True)
        (made.folder(job, number) / "product.tar").write_bytes(b"large")
    (tmp_path / "attempts" / "packages.json").write_text("{}")
    await made.leave("a", 1)
    assert sorted(path.name for path in (tmp_path / "attempts" / "a").iterdir()) == ["2"]
    await made.leave("a", 2)
    assert not (tmp_path / "attempts" / "a").exists()
    await made.clear()
    assert [path.name for path in (tmp_path / "attempts").iterdir()] == ["packages.json"]


def test_what_a_driver_says_is_read_as_it_was_said() -> None:
    said: list[Said] = [
        Measured(time=1.5, step=3, values={"loss": float("nan"), "gain": float("inf")}),
        Failed(cause=Cause.OUT_OF_MEMORY, message="zwölf\nlines"),
    ]
    measured, failed = (read_line(write_line(each)) for each in said)
    assert isinstance(measured, Measured)
    assert np.isnan(measured.values["loss"])
    assert measured.values["gain"] == float("inf")
    assert failed == said[1]
    assert b"\n" not in write_line(failed)[:-1]


def test_lines_that_are_printed_are_told_whole_and_of_progress_the_last_word() -> None:
    sent: list[Said] = []
    teller = Teller(sent.extend)
    with told(teller.tell, 2):
        print("one", end="")
        print(" line\nanother")
        print("to stderr", file=sys.stderr)
        print("without an end", end="")
        for step in range(100):
            teller.tell(Progressed(step=step))
    teller.close()
    logged = [(each.text, each.worker, each.stderr) for each in sent if isinstance(each, Logged)]
    assert logged == [
        ("one line", 2, False),
        ("another", 2, False),
        ("to stderr", 2, True),
        ("without an end", 2, False),
    ]
    progress = [each.step for each in sent if isinstance(each, Progressed)]
    assert progress[-1] == 99
    assert len(progress) < 20


def test_a_checkpoint_is_told_at_once_and_so_is_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telling, "EVERY", 600.0)
    told_of = queue.SimpleQueue[Said]()

    def send(said: Sequence[Said]) -> None:
        for each in said:
            told_of.put(each)

    teller = Teller(send)
    teller.tell(Progressed(step=1))
    assert told_of.get(timeout=30) == Progressed(step=1)
    teller.tell(Progressed(step=2))
    teller.tell(Checkpointed(kept=Kept(key="k", digest="d")))
    assert [told_of.get(timeout=30).kind for _ in range(2)] == ["progressed", "checkpointed"]
    teller.tell(Progressed(step=3))
    teller.close()
    assert told_of.get(timeout=30) == Progressed(step=3)


def test_an_error_is_told_with_where_in_the_users_code_it_happened(tmp_path: Path) -> None:
    (tmp_path / "theirs.py").write_text("def fails():\n    raise ValueError('no such colour')\n")
    sys.path.insert(0, str(tmp_path))
    try:
        packing.function("theirs:fails")()
    except ValueError as error:
        words = calling.words(error)
    finally:
        sys.path.remove(str(tmp_path))
    assert words.startswith("ValueError: no such colour")
    assert "theirs.py" in words
    with pytest.raises(AttributeError, match="no function absent"):
        packing.function("theirs:absent")


def test_jobs_see_none_of_the_trainers_own_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BMASE_TRAINER_DATABASE_URL", "mysql://user:secret@host/db")
    monkeypatch.setenv("BMASE_TOKEN", "secret")
    monkeypatch.setenv("BMASE_SUITE_ID", "the-suite")
    monkeypatch.setenv("AWS_REGION", "somewhere")
    found = inherited.environment()
    assert "secret" not in "".join(found.values())
    assert (found["BMASE_SUITE_ID"], found["AWS_REGION"]) == ("the-suite", "somewhere")


def test_columns_are_put_side_by_side_and_classes_are_found_by_their_names(tmp_path: Path) -> None:
    product = Product(tmp_path, task="classification", inputs={"x": ("a", "b")}, target="kind", classes=("cat", "dog"))
    rows = {"a": np.array([1, 2]), "b": np.array([[3.0], [4.0]]), "kind": np.array(["dog", "cat"], object)}
    asked = cases.cases(product, rows)
    np.testing.assert_array_equal(asked.inputs["x"], np.array([[1, 3], [2, 4]], np.float32))
    np.testing.assert_array_equal(asked.truth["labels"], [1, 0])
    with pytest.raises(InvalidArgument, match="cow"):
        cases.cases(product, {**rows, "kind": np.array(["cow", "cat"], object)})
    with pytest.raises(InvalidArgument, match="'b'"):
        cases.cases(product, {"a": rows["a"], "kind": rows["kind"]})


def test_logits_and_single_chances_become_probabilities(tmp_path: Path) -> None:
    asked = Cases({"x": np.zeros((2, 1))}, {"labels": np.array([0, 1])})
    plain = Product(tmp_path, task="classification", inputs={"x": "x"}, target="y")
    logits = Product(tmp_path, task="classification", inputs={"x": "x"}, target="y", logits=True)
    one = cases.answers(plain, asked, {"p": np.array([0.25, 0.75])})
    np.testing.assert_allclose(one.probabilities, [[0.75, 0.25], [0.25, 0.75]])  # type: ignore[attr-defined]
    both = cases.answers(logits, asked, {"p": np.array([[0.0, 0.0], [0.0, np.log(3.0)]])})
    np.testing.assert_allclose(both.probabilities, [[0.5, 0.5], [0.25, 0.75]])  # type: ignore[attr-defined]


def test_of_a_model_only_the_outputs_that_are_wanted_are_fetched(tmp_path: Path) -> None:
    value = lambda name, *shape: helper.make_tensor_value_info(name, TensorProto.FLOAT, ["rows", *shape])  # noqa: E731
    nodes = [helper.make_node("Identity", ["x"], ["large"]), helper.make_node("Neg", ["x"], ["small"])]
    graph = helper.make_graph(nodes, "two", [value("x", 2)], [value("large", 2), value("small", 2)])
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.save(made, tmp_path / "model.onnx")
    model = OnnxModel(tmp_path)
    rows = np.ones((BATCH + 1, 2), np.float32)
    assert list(model({"x": rows})) == ["large", "small"]
    found = model({"x": rows}, ["small"])
    assert list(found) == ["small"]
    np.testing.assert_array_equal(found["small"], -rows)
    with pytest.raises(KeyError, match="there are: large, small"):
        model({"x": rows}, ["losses"])


def test_answers_of_unlike_lengths_are_filled_up() -> None:
    found = joined([{"y": np.ones((1, 2, 3))}, {"y": np.ones((2, 4, 3))}])
    assert found["y"].shape == (3, 4, 3)
    assert found["y"][0, 2:].sum() == 0


def test_what_a_checkpoint_holds_has_the_kinds_that_it_was_given() -> None:
    """`random.setstate`, for one, takes tuples only."""
    order = np.arange(3)
    state = {"random": (3, (1, 2), None), "list": [1, {"order": order}]}
    kept = copied(state)
    order += 1
    assert kept["random"] == (3, (1, 2), None)
    assert kept["list"][1]["order"].tolist() == [0, 1, 2]
