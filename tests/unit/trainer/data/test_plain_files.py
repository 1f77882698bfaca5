from __future__ import annotations

from pathlib import Path

import pytest
from bmase.reasons import Reason

from services.kit.errors import DomainError
from services.trainer.data import Manifest, discover_files


def test_files_keep_their_places_and_need_no_rows(tmp_path: Path) -> None:
    (tmp_path / "my model" / "variables").mkdir(parents=True)
    (tmp_path / "my model" / "saved_model.pb").write_bytes(b"graph")
    (tmp_path / "my model" / "variables" / "variables.index").write_bytes(b"")
    manifest = discover_files(str(tmp_path / "my model"))
    assert {file.label: file.bytes for file in manifest.files} == {"saved_model.pb": 5, "variables/variables.index": 0}
    assert Manifest.from_json(manifest.to_json()) == manifest


def test_one_file_is_called_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"graph")
    (file,) = discover_files((tmp_path / "model.onnx").as_uri()).files
    assert (file.label, file.rows) == ("model.onnx", 0)


def test_a_place_without_files_is_said_to_be_empty(tmp_path: Path) -> None:
    with pytest.raises(DomainError) as refused:
        discover_files(str(tmp_path))
    assert refused.value.reason is Reason.DATA_NOT_FOUND
