"""Folders of pictures: classes by folder, one shape, nothing that explodes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from services.kit.errors import DomainError, InvalidArgument
from services.trainer.data import PARTS, Splits, discover, part, read
from services.trainer.data.formats import images


def picture(path: Path, value: int, size: tuple[int, int] = (4, 3), mode: str = "L") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    colour = value if mode != "RGB" else (value, 0, 0)
    Image.new(mode, size, colour).save(path)


def test_the_folder_is_the_class(tmp_path: Path) -> None:
    picture(tmp_path / "dogs" / "a.png", 10)
    picture(tmp_path / "cats" / "b.png", 20)
    picture(tmp_path / "cats" / "c.png", 30)
    (tmp_path / ".DS_Store").write_bytes(b"x")
    (tmp_path / "_SUCCESS").write_bytes(b"")
    manifest = discover(str(tmp_path))
    assert manifest.classes == ("cats", "dogs")
    assert manifest.rows == 3
    (batch,) = read(manifest)
    assert batch["image"].shape == (3, 3, 4, 1)
    assert batch["image"].dtype == np.uint8
    seen = {
        int(image[0, 0, 0]): manifest.classes[label]
        for image, label in zip(batch["image"], batch["label"], strict=True)
    }
    assert seen == {10: "dogs", 20: "cats", 30: "cats"}
    (only,) = read(manifest, ["label"])
    assert only["label"].tolist() == batch["label"].tolist()


def test_pictures_in_one_folder_have_no_class(tmp_path: Path) -> None:
    picture(tmp_path / "a.png", 10, mode="RGB")
    (batch,) = read(discover(str(tmp_path)))
    assert set(batch) == {"image"}
    assert batch["image"].shape == (1, 3, 4, 3)


def test_other_shapes_are_named_or_made_to_fit(tmp_path: Path) -> None:
    picture(tmp_path / "a.png", 10)
    picture(tmp_path / "b.png", 20, size=(8, 8), mode="RGB")
    with pytest.raises(
        DomainError, match=r"b\.png: column image is uint8\[8x8x3\], but uint8\[3x4x1\] in .*a\.png"
    ) as caught:
        discover(str(tmp_path))
    assert "image=(height, width, channels)" in caught.value.hint
    (batch,) = read(discover(str(tmp_path), image=(5, 6, 1)))
    assert batch["image"].shape == (2, 5, 6, 1)


def test_the_shape_is_part_of_what_the_data_is(tmp_path: Path) -> None:
    picture(tmp_path / "a.png", 10)
    assert discover(str(tmp_path), image=(5, 6, 1)).digest != discover(str(tmp_path)).digest


def test_a_stray_picture_is_named(tmp_path: Path) -> None:
    picture(tmp_path / "cats" / "b.png", 20)
    picture(tmp_path / "stray.png", 30)
    with pytest.raises(DomainError, match=r"stray\.png: lies in no folder of a class"):
        discover(str(tmp_path))


def test_what_is_no_picture_is_named(tmp_path: Path) -> None:
    picture(tmp_path / "a.png", 10, size=(64, 64))
    (tmp_path / "b.png").write_bytes((tmp_path / "a.png").read_bytes()[:60])
    with pytest.raises(DomainError, match=r"b\.png: is no picture that can be read"):
        discover(str(tmp_path))


def test_sixteen_bits_are_not_cut_to_eight(tmp_path: Path) -> None:
    Image.fromarray(np.full((4, 4), 40_000, np.uint16)).save(tmp_path / "deep.png")
    with pytest.raises(DomainError, match="not eight bits a channel"):
        discover(str(tmp_path))


def test_a_picture_that_unpacks_to_too_much_is_refused_by_its_header(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture(tmp_path / "a.png", 10, size=(300, 300))
    monkeypatch.setattr(images, "MAX_PIXELS", 50_000)
    monkeypatch.setattr(Image.Image, "load", lambda self: pytest.fail("was decoded"))
    with pytest.raises(DomainError, match="300 x 300 pixels"):
        discover(str(tmp_path))


def test_pictures_are_turned_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("L", (8, 2), 5).save(tmp_path / "a.jpg", exif=exif)
    assert str(discover(str(tmp_path)).columns[0]) == "uint8[8x2x1]"


def test_the_same_picture_in_two_classes_is_in_one_part(tmp_path: Path) -> None:
    for value in range(60):
        for name in ("cats", "dogs"):
            picture(tmp_path / name / f"{value}.png", value)
    manifest, splits = discover(str(tmp_path)), Splits(train=0.5, validation=0.3, test=0.2)
    found = [[image.tobytes() for batch in part(manifest, splits, name) for image in batch["image"]] for name in PARTS]
    assert sum(map(len, found)) == 120
    assert len(set(found[0] + found[1] + found[2])) == 60
    assert sum(len(set(some)) for some in found) == 60


def test_a_shape_is_for_pictures_only(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a,b\n1,x\n")
    with pytest.raises(InvalidArgument, match="the data is csv"):
        discover(str(tmp_path), image=(2, 2, 1))
