from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from services.trainer.imports.formats import TRAITS, Format, Found, Unknown, detect


def _write(folder: Path, **files: bytes) -> Path:
    for name, content in files.items():
        path = folder / name.replace("__", "/").replace("_dot_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


def _zip(path: Path, *names: str) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(f"model/{name}", b"")


@pytest.mark.parametrize(
    ("files", "found"),
    [
        ({"m_dot_onnx": b""}, Found(Format.ONNX, "m.onnx")),
        ({"m_dot_joblib": b"", "notes_dot_md": b""}, Found(Format.SKLEARN, "m.joblib")),
        ({"m_dot_json": b'{"learner": {}}'}, Found(Format.XGBOOST, "m.json")),
        ({"m_dot_txt": b"tree\nversion=v4\n"}, Found(Format.LIGHTGBM, "m.txt")),
        ({"w_dot_safetensors": b"", "net_dot_py": b""}, Found(Format.STATE_DICT, "w.safetensors")),
        ({"w_dot_pth": b"not a zip"}, Found(Format.STATE_DICT, "w.pth")),
        ({"config_dot_json": b"{}", "model_dot_safetensors": b""}, Found(Format.HUGGING_FACE, ".")),
        ({"saved_model_dot_pb": b"", "variables__variables_dot_index": b""}, Found(Format.SAVED_MODEL, ".")),
    ],
)
def test_names_and_first_bytes_tell_the_format(tmp_path: Path, files: dict[str, bytes], found: Found) -> None:
    assert detect(_write(tmp_path, **files)) == found


@pytest.mark.parametrize(
    ("inside", "found"),
    [
        (("data.pkl", "constants.pkl", "code/__torch__.py"), Format.TORCHSCRIPT),
        (("models/model.json", "archive_format"), Format.EXPORTED),
        (("data.pkl", "data/0"), Format.STATE_DICT),
    ],
)
def test_archives_of_torch_are_told_by_what_is_in_them(tmp_path: Path, inside: tuple[str, ...], found: Format) -> None:
    _zip(tmp_path / "m.pt", *inside)
    assert detect(tmp_path).format is found


def test_two_models_are_one_too_many(tmp_path: Path) -> None:
    with pytest.raises(Unknown, match=r"a\.onnx, b\.onnx; give one"):
        detect(_write(tmp_path, a_dot_onnx=b"", b_dot_onnx=b""))


def test_nothing_known_says_what_was_there(tmp_path: Path) -> None:
    with pytest.raises(Unknown, match=r"among readme\.md"):
        detect(_write(tmp_path, readme_dot_md=b""))


def test_a_format_that_was_given_decides(tmp_path: Path) -> None:
    assert detect(_write(tmp_path, model_dot_dat=b"tree"), "lightgbm") == Found(Format.LIGHTGBM, "model.dat")


def test_every_format_has_traits_and_whatever_may_hold_code_is_named() -> None:
    assert set(TRAITS) == set(Format)
    assert {each for each in Format if not TRAITS[each].code} == {
        Format.ONNX, Format.XGBOOST, Format.LIGHTGBM, Format.HUGGING_FACE,
    }  # fmt: skip
