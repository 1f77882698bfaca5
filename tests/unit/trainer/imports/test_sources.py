from __future__ import annotations

from pathlib import Path

import pytest

from services.kit.errors import DomainError
from services.trainer.imports.sources import places, staged


def _write(folder: Path, *names: str) -> list[Path]:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    return [folder / name for name in names]


def test_files_keep_their_places_below_the_common_folder(tmp_path: Path) -> None:
    files = _write(tmp_path / "given", "a/config.json", "a/more/b.txt")
    laid = staged(files, tmp_path / "laid")
    assert {str(path.relative_to(laid.folder)) for path in laid.folder.rglob("*.*")} == {"config.json", "more/b.txt"}


def test_files_that_a_job_brought_one_by_one_lie_together_again(tmp_path: Path) -> None:
    files = _write(tmp_path, "0/saved_model.pb", "1/variables.index")
    assert set(places(files)) == {Path("saved_model.pb"), Path("variables/variables.index")}


def test_two_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DomainError, match=r"called model\.onnx"):
        places(_write(tmp_path, "0/model.onnx", "1/model.onnx"))


def test_the_digest_is_of_names_and_contents(tmp_path: Path) -> None:
    first = staged(_write(tmp_path / "a", "x", "y"), tmp_path / "one").digest
    assert staged(_write(tmp_path / "b", "x", "y"), tmp_path / "two").digest == first
    (tmp_path / "b" / "y").write_text("other")
    assert staged([tmp_path / "b" / "x", tmp_path / "b" / "y"], tmp_path / "three").digest != first
