"""What a training left on disk, as its own program and as the registry lays it down."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from bmase.registry.v1 import registry_pb2 as pb

from services.kit.errors import InvalidArgument
from services.trainer.recipes.recipe import Material
from services.trainer.reproduce.made import made_at, made_of, read_series, without_given, write_series
from tests.unit.trainer.reproduce.recorded import record


def lay_down(evidence: Path) -> None:
    evidence.mkdir(parents=True)
    (evidence / "record.json").write_text(record().to_json())
    (evidence / "series.json").write_text(write_series({"loss": {1: 0.5, 10: float("nan")}}))
    np.savez(evidence / "held_out.npz", text=np.array(["a", "bc"]))


def test_a_training_is_read_as_its_program_left_it(tmp_path: Path) -> None:
    lay_down(tmp_path / "evidence")
    (tmp_path / "files/1").mkdir(parents=True)
    (tmp_path / "files/1/model.onnx").touch()
    made = made_at(tmp_path)
    assert (made.paths, made.record()) == (("1/model.onnx",), record())
    series = made.series()
    assert series is not None
    assert series["loss"][1] == 0.5
    assert np.isnan(series["loss"][10])
    assert made.held_out()["text"].tolist() == ["a", "bc"]


@pytest.mark.parametrize("below", ["evidence", "evidence/evidence"])
def test_a_version_is_read_as_it_is_brought(tmp_path: Path, below: str) -> None:
    lay_down(tmp_path / below)
    roles = {"model.onnx": pb.File.ROLE_MODEL, "config.pbtxt": pb.File.ROLE_CONFIG, "x.json": pb.File.ROLE_EVIDENCE}
    version = pb.Version(files=[pb.File(path=path, role=role) for path, role in roles.items()])
    made = made_of(Material("digits@3", version, tmp_path))
    assert (made.paths, made.record()) == (("config.pbtxt", "model.onnx"), record())


def test_what_was_not_trained_here_cannot_be_made_again(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match=r"has no record\.json among its evidence"):
        made_of(Material("digits@3", pb.Version(), tmp_path)).record()
    assert made_at(tmp_path).series() is None


def test_a_configuration_that_the_registry_wrote_is_not_missed() -> None:
    assert without_given(("config.pbtxt", "model.onnx"), ("model.onnx",)) == ("model.onnx",)
    assert without_given(("config.pbtxt", "model.onnx"), ("config.pbtxt",)) == ("config.pbtxt", "model.onnx")


@pytest.mark.parametrize("text", [b"[]", b"{", b'{"loss": {"one": 1}}', b'{"loss": 1}'])
def test_what_is_no_document_of_series_is_refused(text: bytes) -> None:
    with pytest.raises(InvalidArgument, match="is no document of series"):
        read_series(text)
